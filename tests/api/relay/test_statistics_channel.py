"""Statistics of a list over sessions, and what a node computes for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.relay.connections import ConnectionRegistry
from api.relay.system_channel import Pipeline, Rate, SystemReports
from app.channels import list_channel, statistics_channel
from app.positions import Position
from tests.api.relay_world import NOW, Client, Node, World, list_update, task_update
from tests.waiting import eventually

LIST, OTHER, TASK = (f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))


@pytest.fixture
def world() -> World:
    """Return a world in which Ann and Bob share a list, and Ann has another."""
    world = World(1)
    world.members = {LIST: {"ann", "bob"}, OTHER: {"ann"}}
    return world


@pytest.fixture
def node(world: World) -> Node:
    return Node(world)


async def subscribed(node: Node, user: str, list_id: str = LIST) -> Client:
    """Return a client that is subscribed to the statistics of a list."""
    client = Client(user)
    client.connect(node)
    client.send({"id": 1, "type": "subscribe", "channel": f"stats:{list_id}"})
    await client.settled()
    return client


def statistics(client: Client) -> list[dict[str, Any]]:
    """Return the statistics that a client received."""
    return [message for message in client.seen if message["type"] == "stats"]


async def received(client: Client, published: int) -> None:
    """Wait until a client has the statistics after so many updates."""

    async def is_there() -> bool:
        await client.receive()
        return any(message["stats"]["published"] == published for message in statistics(client))

    await eventually(is_there)


async def test_subscriber_gets_statistics_at_once(node: Node) -> None:
    client = await subscribed(node, "ann")
    await received(client, 0)
    assert statistics(client)[0]["channel"] == f"stats:{LIST}"
    await node.relay.statistics.stop()


async def test_many_changes_are_one_message_and_the_last_state_arrives(world: World, node: Node) -> None:
    """All subscribers of a node share the computation."""
    clients = [await subscribed(node, user) for user in ("ann", "bob")]
    for client in clients:
        await received(client, 0)
    node.computed.clear()
    for offset in range(500):
        world.commit(task_update(Position(0, offset), TASK, LIST))
        node.publish_all()
        if offset % 50 == 0:
            await asyncio.sleep(0)
    for client in clients:
        await received(client, 500)
        assert len(statistics(client)) < 50
    assert len(node.computed) < 50
    await node.relay.statistics.stop()


async def test_other_lists_are_not_computed(world: World, node: Node) -> None:
    client = await subscribed(node, "ann")
    await received(client, 0)
    world.commit(task_update(Position(0, 0), TASK, OTHER))
    world.commit(task_update(Position(0, 1), TASK, LIST, left=OTHER))
    node.publish_all()
    await received(client, 2)
    assert set(node.computed) == {LIST}
    await node.relay.statistics.stop()


async def test_removed_member_gets_no_more(world: World, node: Node) -> None:
    """The subscription ends with the membership; that of others goes on."""
    ann, bob = [await subscribed(node, user) for user in ("ann", "bob")]
    await received(bob, 0)
    world.commit(list_update(Position(0, 0), LIST, {"ann", "bob"}, {"ann"}))
    world.members[LIST] = {"ann"}
    node.publish_all()
    world.commit(task_update(Position(0, 1), TASK, LIST))
    node.publish_all()
    await received(ann, 2)
    await bob.receive()
    assert {"type": "unsubscribed", "channel": f"stats:{LIST}"} in bob.seen
    assert all(message["stats"]["published"] == 0 for message in statistics(bob))
    await node.relay.statistics.stop()


async def test_deleted_list_ends_all_subscriptions(world: World, node: Node) -> None:
    ann = await subscribed(node, "ann")
    await received(ann, 0)
    world.commit(list_update(Position(0, 0), LIST, {"ann", "bob"}, None))
    node.publish_all()
    await ann.receive()
    assert {"type": "unsubscribed", "channel": f"stats:{LIST}"} in ann.seen
    await eventually(lambda: asyncio.sleep(0, not node.hub.has(list_channel(LIST))))
    assert not node.hub.has(statistics_channel(LIST))
    assert node.hub.counters.subscriptions == 2  # Ann's own channel, and her other list
    await node.relay.statistics.stop()


async def test_unavailable_database_delays_statistics(
    world: World, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.relay.statistics_channel.RETRY_S", 0.01)
    client = await subscribed(node, "ann")
    await received(client, 0)
    world.is_away = True
    world.commit(task_update(Position(0, 0), TASK, LIST))
    node.publish_all()
    node.computed.clear()
    await eventually(lambda: asyncio.sleep(0, len(node.computed) > 2))
    world.is_away = False
    await received(client, 1)
    await node.relay.statistics.stop()


async def test_system_reports_have_the_state_of_the_pipeline(node: Node) -> None:
    """Rates need two reports."""
    times = [NOW]
    node.relay.counters.traffic_of("websocket", "json").opened = 3
    node.relay.counters.traffic_of("websocket", "msgpack").opened = 2
    reports = SystemReports("n", node.hub, ConnectionRegistry(), node.relay.counters, now=lambda: times[0])
    first = reports.report(Pipeline(100, {0: 0, 1: 7}, 2, {"0": 17})).stats
    assert (first.appended_per_s, first.deliveries_per_s, first.sockets) == (None, None, {"websocket": 5})
    assert (first.lag, first.parked, first.batches) == ({"0": 0, "1": 7}, 2, {"0": 17})
    node.hub.counters.delivered += 30
    times[0] += 2
    second = reports.report(Pipeline(150)).stats
    assert (second.appended_per_s, second.deliveries_per_s) == (25.0, 15.0)
    assert (second.lag, second.parked, second.batches) == (None, None, None)


def test_rate_of_a_counter_that_began_again_is_unknown() -> None:
    rate = Rate()
    assert [rate.of(count, now) for now, count in enumerate([5, 7, None, 9, 3, 4])] == [
        None,
        2.0,
        None,
        None,
        None,
        1.0,
    ]
