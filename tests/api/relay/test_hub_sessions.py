"""Sessions of the hub: authentication, channels that a client gets without asking, the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.protocol import close_codes
from api.protocol.server_messages import Limits
from api.relay.replay_buffer import BufferOverrun
from app.log.updates import Update
from app.positions import Position
from tests.api.hub_client import L1, L2, T1, T2, kinds, replies_to, signed_in
from tests.api.relay_world import Client, Node, World, list_update, nothing_update, task_update


async def test_authentication_subscribes_to_automatic_channels(node: Node) -> None:
    """The user's own, and those of the user's lists."""
    client = await signed_in(node)
    [reply] = client.seen
    assert reply["type"] == "authenticated"
    assert "id" not in reply
    assert reply["user"] == "ann"
    assert reply["channels"] == ["user:ann", f"list:{L1}"]
    assert reply["expires_in"] == 3600
    assert reply["limits"] == Limits().model_dump()


async def test_known_channels_are_not_read_again(
    world: World, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's second socket, and a task that others have open, cause no queries."""
    subscribe = {"type": "subscribe", "channel": f"task:{T1}"}
    first = await signed_in(node)
    assert kinds(await replies_to(first, subscribe)) == ["subscribed"]
    reads: list[str] = []
    for name in ("lists_at", "list_of_task_at"):
        monkeypatch.setattr(world, name, lambda *asked: reads.append(str(asked)))
    second = await signed_in(node)
    assert second.seen[0]["channels"] == first.seen[0]["channels"]
    assert kinds(await replies_to(second, subscribe)) == ["subscribed"]
    assert reads == []


async def test_restored_list_is_read_once_for_all_members(
    world: World, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each member that joins it gets all of its tasks."""
    people = {f"user {number}" for number in range(20)}
    world.members[L2] = set(people)
    clients = [await signed_in(node, user) for user in sorted(people)]
    world.commit(task_update(world.next_position(0), T2, L2))
    world.commit(list_update(world.next_position(1), L2, people, None))
    node.publish_all()
    for client in clients:
        assert kinds(await replies_to(client))[-1] == "unsubscribed"
    reads: list[tuple[object, ...]] = []
    missed = world.missed

    async def counted(*asked: Any) -> list[Update] | None:
        reads.append(asked)
        return await missed(*asked)

    def forgotten(*_: object) -> None:
        raise BufferOverrun

    monkeypatch.setattr(world, "missed", counted)
    monkeypatch.setattr(node.hub.published.replay_buffer, "missed", forgotten)
    world.query_ticks = 3
    world.commit(list_update(world.next_position(1), L2, people, people, restored=True))
    node.publish_all()
    notified = await asyncio.gather(*(replies_to(client) for client in clients))
    assert len(reads) == 1
    for messages in notified:
        assert kinds(messages) == ["subscribed", "update", "update"]
        assert [each["position"] for each in messages[1:]] == ["0:0", "1:1"]


async def test_cached_channels_are_as_current_as_the_node(world: World, node: Node) -> None:
    """Lists joined and left in between are followed."""
    first = await signed_in(node)
    world.members[L2].add("ann")
    world.commit(list_update(world.next_position(0), L2, {"bob"}, {"ann", "bob"}))
    world.members[L1].clear()
    world.commit(list_update(world.next_position(1), L1, {"ann"}, set()))
    node.publish_all()
    await first.settled()
    second = await signed_in(node)
    assert second.seen[0]["channels"] == ["user:ann", f"list:{L2}"]
    assert [
        each["code"] for each in await replies_to(second, {"type": "subscribe", "channel": f"task:{T1}"})
    ] == ["not_found"]


async def test_invalid_token_ends_the_session(node: Node) -> None:
    """With an error, without a second attempt."""
    client = await signed_in(node, "bad")
    assert [(each["type"], each["code"]) for each in client.seen] == [("error", "unauthenticated")]
    assert client.send_queue is not None
    assert client.send_queue.close_reason is not None
    assert client.send_queue.close_reason.code == close_codes.BAD_TOKEN


async def test_authenticate_comes_first_and_once(node: Node) -> None:
    client = await signed_in(node)
    stranger = Client("ann")
    stranger.connect(node)
    await stranger.disconnect()
    [again] = await replies_to(client, {"id": 2, "type": "authenticate", "token": "ann"})
    assert (again["id"], again["code"]) == (2, "malformed")


async def test_node_without_positions_disconnects_clients(world: World) -> None:
    """They reconnect once the feed has started."""
    node = Node(world)
    node.hub.published.partitions = 0
    client = await signed_in(node)
    assert client.seen == []
    assert client.send_queue is not None
    assert client.send_queue.close_reason == close_codes.CAN_NOT_RECOVER


async def test_refreshed_token_must_be_of_the_same_user(node: Node) -> None:
    """Another user's or an invalid token is refused; the previous one stays valid."""
    client = await signed_in(node)
    replies = await replies_to(
        client,
        {"id": 2, "type": "refresh", "token": "bob"},
        {"id": 3, "type": "refresh", "token": "bad"},
        {"id": 4, "type": "refresh", "token": "ann"},
    )
    assert [(reply["id"], reply["type"]) for reply in replies] == [
        (2, "error"),
        (3, "error"),
        (4, "refreshed"),
    ]


async def test_client_ahead_of_the_log_starts_over(world: World, node: Node) -> None:
    """The log was created again, or restored from a copy: its next records are new to the client."""
    world.commit(task_update(Position(0, 0), T1, L1))
    node.publish_all()
    client = Client("ann")
    client.positions, client.beyond = {0: 500}, True
    client.connect(node)
    await client.settled()
    await client.receive()
    assert kinds(client.seen) == ["authenticated", "resync", "resync"]
    assert client.positions == {0: 0}
    world.commit(task_update(Position(0, 1), T1, L1))
    node.publish_all()
    await client.receive()
    assert client.got == [(f"list:{L1}", Position(0, 1))]


async def test_disconnected_client_leaves_nothing_behind(world: World, node: Node) -> None:
    """The hub removes channels without subscribers."""
    client = await signed_in(node)
    await replies_to(client, {"id": 2, "type": "subscribe", "channel": f"task:{T1}"})
    await client.disconnect()
    assert not node.hub.subscribers.channels
    assert not node.hub.subscribers.users


async def test_gaps_are_reported_and_not_published_over(world: World, node: Node) -> None:
    """Known updates are dropped; those too early are refused."""
    first, second, third = (nothing_update(Position(0, offset)) for offset in range(3))
    assert node.hub.published.gap_before(first) is None
    assert node.hub.publish(first)
    assert not node.hub.publish(first)
    assert node.hub.published.gap_before(third) == range(1, 2)
    with pytest.raises(ValueError, match="gap"):
        node.hub.publish(third)
    assert node.hub.publish(second)
    assert node.hub.published.positions == {0: 1}
