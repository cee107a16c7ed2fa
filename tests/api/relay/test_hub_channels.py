"""Channels of the hub: signals, the channel of the system, lists that come and go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from api.auth import Identity
from api.presence.cluster import Signals
from api.relay.connections import ConnectionRegistry
from api.relay.system_channel import Pipeline, SystemReports
from app.channels import SYSTEM_CHANNEL
from app.positions import Position
from tests.api.hub_client import L1, L2, L3, T1, T2, kinds, replies_to, signed_in
from tests.api.memory_signals import MemoryTopic
from tests.api.relay_world import NOW, Client, Node, World, list_update, task_update
from tests.waiting import eventually


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
