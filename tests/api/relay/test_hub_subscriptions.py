"""Subscriptions of the hub: channels, missed updates, limits."""

from __future__ import annotations

import pytest

from api import read_consistency
from api.protocol import close_codes
from app.positions import Position
from tests.api.hub_client import L1, L2, L3, T1, T2, kinds, replies_to, signed_in
from tests.api.relay_world import Node, World, list_update, task_update


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
