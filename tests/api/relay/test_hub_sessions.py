"""Sessions step by step: authentication, channels, recovery, membership."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from api import read_consistency
from api.auth import Identity
from api.presence.cluster import Signals
from api.protocol import close_codes
from api.protocol.server_messages import Limits
from api.relay.connections import ConnectionRegistry
from api.relay.replay_buffer import BufferOverrun
from api.relay.system_channel import Pipeline, SystemReports
from app.channels import SYSTEM_CHANNEL
from app.log.updates import Update
from app.positions import Position
from tests.api.memory_signals import MemoryTopic
from tests.api.relay_world import NOW, Client, Node, World, list_update, nothing_update, task_update
from tests.waiting import eventually

L1, L2, L3 = (f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
T1, T2 = (f"00000000-0000-7000-8000-00000000001{n}" for n in (1, 2))


@pytest.fixture
def world() -> World:
    """Return a world in which Ann and Bob have a list each, with a task."""
    world = World(2)
    world.members = {L1: {"ann"}, L2: {"bob"}}
    world.task_lists = {T1: L1, T2: L2}
    return world


@pytest.fixture
def node(world: World) -> Node:
    """Return a node that has received everything so far."""
    return Node(world)


async def signed_in(node: Node, user: str = "ann", since: dict[int, int] | None = None) -> Client:
    """Return a client that is connected and has recovered."""
    client = Client(user)
    client.positions = since
    client.connect(node)
    await client.settled()
    await client.receive()
    return client


async def replies_to(client: Client, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the replies to a client's message."""
    before = len(client.seen)
    for message in messages:
        client.send(message)
    await client.settled()
    await client.receive()
    return client.seen[before:]


def kinds(messages: Sequence[dict[str, Any]]) -> list[str]:
    """Return the types of messages."""
    return [message["type"] for message in messages]


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


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("user:bob", "forbidden"),
        (f"list:{L2}", "not_found"),
        (f"list:{L3}", "not_found"),
        (f"task:{T2}", "not_found"),
        (f"task:{L3}", "not_found"),
        ("task:nonsense", "malformed"),
        ("nonsense", "malformed"),
        ("system", "forbidden"),
        ("system:x", "malformed"),
        ("stats:x", "malformed"),
        (f"stats:{L2}", "not_found"),
        (f"stats:{L3}", "not_found"),
    ],
)
async def test_subscribing_to_an_unavailable_channel_is_an_error(node: Node, channel: str, code: str) -> None:
    client = await signed_in(node)
    [reply] = await replies_to(client, {"id": 7, "type": "subscribe", "channel": channel})
    assert (reply["id"], reply["type"], reply["code"]) == (7, "error", code)


async def test_update_is_sent_once_on_its_first_channel(world: World, node: Node) -> None:
    """In the order `user:`, `list:`, `task:`."""
    client = await signed_in(node)
    await replies_to(client, {"id": 2, "type": "subscribe", "channel": f"task:{T1}"})
    world.commit(task_update(Position(0, 0), T1, L1))
    world.commit(list_update(Position(1, 0), L1, {"ann"}, {"ann"}))
    node.publish_all()
    await client.receive()
    assert client.got == [(f"list:{L1}", Position(0, 0)), ("user:ann", Position(1, 0))]


async def test_unsubscribing_leaves_the_next_channel(world: World, node: Node) -> None:
    """Without the list, the task's own channel carries its updates."""
    client = await signed_in(node)
    replies = await replies_to(
        client,
        {"id": 2, "type": "subscribe", "channel": f"task:{T1}"},
        {"id": 3, "type": "unsubscribe", "channel": f"list:{L1}"},
    )
    assert [(reply["id"], reply["type"]) for reply in replies] == [(2, "subscribed"), (3, "unsubscribed")]
    world.commit(task_update(Position(0, 0), T1, L1))
    node.publish_all()
    await client.receive()
    assert client.got == [(f"task:{T1}", Position(0, 0))]


async def test_subscribing_with_since_sends_missed_updates(world: World, node: Node) -> None:
    """First the reply with their number, then they, then new ones; none that the socket has got."""
    for offset in range(3):
        world.commit(task_update(Position(0, offset), T1, L1))
    node.publish_all()
    client = await signed_in(node)
    world.commit(task_update(Position(0, 3), T1, L1))
    node.publish_all()
    await client.receive()
    replies = await replies_to(
        client, {"id": 2, "type": "subscribe", "channel": f"task:{T1}", "since": {"0": 0, "1": -1}}
    )
    assert kinds(replies) == ["subscribed", "update", "update"]
    assert replies[0]["missed"] == 2
    assert replies[0]["positions"] == {"0": 3}
    assert [reply["position"] for reply in replies[1:]] == ["0:1", "0:2"]


async def test_since_must_fit_the_log(node: Node) -> None:
    """An unknown partition is refused, and the socket stays open."""
    client = await signed_in(node)
    replies = await replies_to(
        client,
        {"id": 2, "type": "subscribe", "channel": f"task:{T1}", "since": {"9": 0}},
        {"id": 3, "type": "subscribe", "channel": f"task:{T1}"},
    )
    assert [(reply["id"], reply["type"]) for reply in replies] == [(2, "error"), (3, "subscribed")]


async def test_since_ahead_of_the_node_loses_and_repeats_nothing(world: World) -> None:
    """The client was on a node that was further."""
    behind = Node(world)
    for offset in range(4):
        world.commit(task_update(Position(0, offset), T1, L1))
    behind.publish_next(0, 1)
    client = await signed_in(behind, since={0: 2})
    assert client.seen[0]["positions"] == {"0": 2}
    behind.publish_all()
    await client.receive()
    assert client.got == [(f"list:{L1}", Position(0, 3))]


async def test_lost_rows_take_no_list_away(world: World, node: Node) -> None:
    """Lists are read once the read models are as far as the node."""
    world.commit(list_update(Position(1, 0), L3, {"bob"}, {"ann", "bob"}))
    node.publish_all()
    world.lost = {1: 1}
    client = await signed_in(node, since={1: 0})
    assert client.seen == []
    assert client.send_queue is not None
    assert client.send_queue.close_reason == close_codes.CAN_NOT_RECOVER
    world.lost, world.members[L3] = {}, {"ann", "bob"}
    again = await signed_in(node, since={1: 0})
    assert again.seen[0]["channels"] == ["user:ann", f"list:{L1}", f"list:{L3}"]


async def test_lost_rows_do_not_affect_subscribing(
    world: World, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither refused nor allowed before the read models are as far as the node."""
    monkeypatch.setattr(read_consistency, "RETRY_DELAYS_S", (0.0,))
    client, list_id = await signed_in(node), world.task_lists.pop(T1)
    world.commit(list_update(Position(1, 0), L3, {"bob"}, {"ann", "bob"}))
    world.commit(task_update(Position(0, 0), T1, L1))
    node.publish_all()
    await replies_to(client)
    for lost in ({0: 1}, {1: 1}):
        world.lost = lost
        for channel in (f"task:{T1}", f"list:{L3}"):
            [answer] = await replies_to(client, {"id": 1, "type": "subscribe", "channel": channel})
            assert (answer["type"], answer["code"]) == ("error", "unavailable")
    world.lost, world.members[L3], world.task_lists[T1] = {}, {"ann", "bob"}, list_id
    for channel in (f"task:{T1}", f"list:{L3}"):
        [answer] = await replies_to(client, {"id": 2, "type": "subscribe", "channel": channel})
        assert answer["type"] == "subscribed"


async def test_too_many_missed_updates_ask_for_a_snapshot(
    world: World, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New updates follow."""
    monkeypatch.setattr("api.relay.recovery.MAX_MISSED", 2)
    for offset in range(3):
        world.commit(task_update(Position(0, offset), T1, L1))
    node.publish_all()
    client = await signed_in(node, since={})
    assert kinds(client.seen) == ["authenticated", "resync", "resync"]
    assert client.resynced == ["user:ann", f"list:{L1}"]
    assert client.positions == {0: 2}
    world.commit(task_update(Position(0, 3), T1, L1))
    node.publish_all()
    await client.receive()
    assert client.got == [(f"list:{L1}", Position(0, 3))]


async def test_subscriptions_are_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Automatic channels do not count."""
    monkeypatch.setattr("api.relay.session.MAX_SUBSCRIPTIONS", 1)
    node.world.task_lists[T2] = L1
    client = await signed_in(node)
    replies = await replies_to(
        client,
        {"id": 2, "type": "subscribe", "channel": f"task:{T1}"},
        {"id": 3, "type": "subscribe", "channel": f"task:{T2}"},
        {"id": 4, "type": "subscribe", "channel": f"task:{T1}"},
    )
    assert [(reply["id"], reply.get("code")) for reply in replies] == [(2, None), (3, "too_many"), (4, None)]


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


async def test_signals_reach_the_other_subscribers(node: Node) -> None:
    """A subscriber gets the roster, then joins, signals and leaves."""
    signals = Signals("signals", MemoryTopic().backend, node="n")
    node.relay = replace(node.relay, presence_tracker=signals)
    node.world.members[L1].add("bob")
    ann, bob = await signed_in(node), await signed_in(node, "bob")
    channel = f"task:{T1}"
    [refused] = await replies_to(ann, {"id": 1, "type": "signal", "channel": channel, "kind": "typing"})
    assert (refused["id"], refused["code"]) == (1, "not_found")

    async def next_of_type(client: Client, kind: str) -> dict[str, Any]:
        """Return the next unsolicited message of a type."""
        before = len(client.seen)

        async def has_come() -> bool:
            await client.receive()
            return any(each["type"] == kind for each in client.seen[before:])

        await eventually(has_come)
        return next(each for each in client.seen[before:] if each["type"] == kind)

    await replies_to(ann, {"type": "subscribe", "channel": channel})
    assert (await next_of_type(ann, "presence"))["present"] == [
        {"user": "ann", "connections": 1, "viewing": False, "typing": False}
    ]
    await replies_to(bob, {"type": "subscribe", "channel": channel})
    assert [each["user"] for each in (await next_of_type(ann, "presence"))["joined"]] == ["bob"]
    await replies_to(bob, {"type": "signal", "channel": channel, "kind": "cursor", "data": {"at": 3}})
    sent = await next_of_type(ann, "signal")
    assert sent == {
        "type": "signal",
        "channel": channel,
        "kind": "cursor",
        "data": {"at": 3},
        "user": "bob",
        "session": sent["session"],
    }
    assert not any(each["type"] == "signal" for each in bob.seen)
    await bob.disconnect()
    assert [each["user"] for each in (await next_of_type(ann, "presence"))["left"]] == ["bob"]
    node.world.members[L1] = {"bob"}
    node.world.commit(list_update(node.world.next_position(0), L1, {"ann", "bob"}, {"bob"}))
    node.publish_all()
    [refused] = (await replies_to(ann, {"id": 2, "type": "signal", "channel": channel, "kind": "typing"}))[
        -1:
    ]
    assert (refused["id"], refused["code"]) == (2, "not_found")
    await ann.disconnect()
    assert not signals.presence.users.connected_users()
    await signals.stop()


async def test_system_channel_is_for_administrators(node: Node) -> None:
    """It carries the figures of the node."""

    async def verify(token: str) -> Identity:
        return Identity(token, admin=token == "root", expires_at=NOW + 3600)

    node.world.verify = verify  # type: ignore[method-assign]
    root, ann = await signed_in(node, "root"), await signed_in(node)
    [refused] = await replies_to(ann, {"id": 1, "type": "subscribe", "channel": "system"})
    assert (refused["id"], refused["code"]) == (1, "forbidden")
    counters, times = node.relay.counters, [NOW]
    reports = SystemReports("n", node.hub, ConnectionRegistry(), counters, now=lambda: times[0], every_s=0.01)
    reports.start()
    await replies_to(root, {"id": 1, "type": "subscribe", "channel": "system"})

    async def reported() -> bool:
        await root.receive()
        return bool(root.seen[-1]["type"] == "system")

    await eventually(reported)
    await reports.stop()
    stats = root.seen[-1]["stats"]
    assert (stats["subscriptions"], stats["lag_ms"]) == (4, None)
    counters.delivered("2001-09-09T01:46:40.000000Z", 1_000_000_000.5)
    times[0] = 1_000_000_001
    assert reports.report(Pipeline()).stats.lag_ms == 500
    times[0] = 1_000_000_100
    assert reports.report(Pipeline()).stats.lag_ms is None


async def test_system_channel_ends_with_administrator_rights(node: Node) -> None:
    """When a refreshed token no longer has them."""
    admin = [True]

    async def verify(token: str) -> Identity:
        return Identity("root", admin=admin[0], expires_at=NOW + 3600)

    node.world.verify = verify  # type: ignore[method-assign]
    root = await signed_in(node, "root")
    await replies_to(root, {"id": 1, "type": "subscribe", "channel": "system"})
    admin[0] = False
    replies = await replies_to(root, {"id": 2, "type": "refresh", "token": "root"})
    assert {"type": "unsubscribed", "channel": "system"} in replies
    assert not node.hub.has(SYSTEM_CHANNEL)


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


async def test_new_list_becomes_a_channel(world: World, node: Node) -> None:
    """Tasks that overtook its creation are sent before it."""
    client = await signed_in(node)
    world.members[L3] = {"ann"}
    world.commit(list_update(Position(1, 0), L3, None, {"ann"}))
    world.commit(task_update(Position(0, 0), T2, L3))
    node.publish_next(0, 1)
    node.publish_next(1, 1)
    await client.settled()
    await client.receive()
    assert kinds(client.seen[1:]) == ["subscribed", "update", "update"]
    assert client.seen[1]["channel"] == f"list:{L3}"
    assert "id" not in client.seen[1]
    assert client.got == [(f"list:{L3}", Position(0, 0)), ("user:ann", Position(1, 0))]


async def test_deleted_list_ends_its_channels(world: World, node: Node) -> None:
    """After the event, nothing of the list is sent."""
    client = await signed_in(node)
    await replies_to(client, {"id": 2, "type": "subscribe", "channel": f"task:{T1}"})
    world.commit(list_update(Position(0, 0), L1, {"ann"}, None))
    world.commit(task_update(Position(0, 1), T1, L1))
    node.publish_all()
    await client.receive()
    assert kinds(client.seen[-3:]) == ["update", "unsubscribed", "unsubscribed"]
    assert {message["channel"] for message in client.seen[-2:]} == {f"list:{L1}", f"task:{T1}"}
    assert client.got == [("user:ann", Position(0, 0))]


async def test_task_moved_to_an_invisible_list_is_no_longer_followed(world: World, node: Node) -> None:
    """Members of the previous list get the move."""
    client = await signed_in(node)
    await replies_to(client, {"id": 2, "type": "subscribe", "channel": f"task:{T1}"})
    world.commit(task_update(Position(0, 0), T1, L2, L1))
    world.commit(task_update(Position(0, 1), T1, L2))
    node.publish_all()
    await client.receive()
    assert client.got == [(f"list:{L1}", Position(0, 0))]
    assert client.seen[-1] == {"type": "unsubscribed", "channel": f"task:{T1}"}


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
