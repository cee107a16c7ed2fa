"""Replays of sessions: their access, their limits, and their ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.protocol.limits import MAX_REPLAYS
from app.tasks.events import TaskCreated, TaskEdited
from tests.api.relay_world import Client, Node, World, list_update
from tests.folding import fold_log
from tests.spec import START, raw_of, record_of
from tests.waiting import eventually

FULL_SPEED: dict[str, Any] = {"speed": 1e9, "max_gap_ms": 0}
L1, L2 = (f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2))
REPLAY = f"replay:{L1}"
SLOWLY: dict[str, Any] = {"speed": 1, "max_gap_ms": 3_600_000}


@pytest.fixture
def world() -> World:
    """Return a world in which Ann and Bob share a list, and Bob has another one."""
    world = World(2)
    world.members = {L1: {"ann", "bob"}, L2: {"bob"}}
    return world


@pytest.fixture
async def node(world: World) -> AsyncIterator[Node]:
    """Yield a node that knows the past of two lists, of one task each with two events a day apart."""
    node = Node(world)
    records = []
    for number, list_id in enumerate((L1, L2)):
        stream = f"task:{list_id}"
        records += [
            raw_of(record_of(TaskCreated(list_id, "new"), 1, stream=stream), 0, number),
            raw_of(
                record_of(TaskEdited({"title": "old"}), 2, stream=stream, time=START + timedelta(days=1)),
                1,
                number,
            ),
        ]
    node.past.__init__(fold_log(records)[1])  # type: ignore[misc]
    yield node
    for client in node.clients:
        await client.disconnect()


async def signed_in(node: Node, user: str = "ann") -> Client:
    """Return a connected client."""
    client = Client(user)
    node.clients.append(client)
    client.connect(node)
    await client.settled()
    await client.receive()
    return client


async def reply_to(client: Client, **message: Any) -> dict[str, Any]:
    """Return the reply to a message."""
    client.send({"id": "asked", **message})
    return await received(client, id="asked")


async def received(client: Client, **wanted: Any) -> dict[str, Any]:
    """Return the next message with these fields; those before it are dropped."""

    async def is_there() -> bool:
        await client.settled()
        await client.receive()
        return any(wanted.items() <= each.items() for each in client.seen)

    await eventually(is_there)
    while True:
        message = client.seen.pop(0)
        if wanted.items() <= message.items():
            return message


async def subscribed(
    client: Client, options: dict[str, Any] = SLOWLY, channel: str = REPLAY
) -> dict[str, Any]:
    """Subscribe to a replay and return the reply."""
    return await reply_to(client, type="subscribe", channel=channel, replay=options)


async def test_replay_plays_next_to_live_updates(world: World, node: Node) -> None:
    client = await signed_in(node)
    assert (await subscribed(client, FULL_SPEED))["type"] == "subscribed"
    assert (await received(client, state="ended"))["channel"] == REPLAY
    world.commit(list_update(world.next_position(0), L1, {"ann", "bob"}, {"ann", "bob"}))
    node.publish_all()
    assert (await received(client, type="update"))["channel"] == "user:ann"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"channel": f"replay:{L2}"}, "not_found"),
        ({"channel": "replay:nothing"}, "malformed"),
        ({"channel": f"list:{L1}", "replay": {}}, "malformed"),
        ({"since": {"0": 1}}, "malformed"),
        ({"replay": {"speed": 0}}, "malformed"),
        ({"replay": {"speed": -1}}, "malformed"),
        ({"replay": {"speed": 1e10}}, "malformed"),
        ({"replay": {"speed": 10**400}}, "malformed"),
        ({"replay": {"speed": True}}, "malformed"),
        ({"replay": {"speed": "fast"}}, "malformed"),
        ({"replay": {"max_gap_ms": -1}}, "malformed"),
        ({"replay": {"max_gap_ms": 10**9}}, "malformed"),
        ({"replay": {"types": []}}, "malformed"),
        ({"replay": {"types": ["task.flown"]}}, "malformed"),
        ({"replay": {"from": "yesterday"}}, "malformed"),
        ({"replay": {"from": "2026-03-01T00:00:00"}}, "malformed"),
        ({"replay": {"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}}, "malformed"),
        ({"replay": {"until": "2026-03-02T00:00:00Z"}}, "malformed"),
    ],
)
async def test_bad_replay_is_refused(node: Node, message: dict[str, Any], code: str) -> None:
    client = await signed_in(node)
    reply = await reply_to(client, **{"type": "subscribe", "channel": REPLAY} | message)
    assert (reply["type"], reply["code"]) == ("error", code)
    assert len(node.relay.replays.quota) == len(node.relay.replays.watches) == 0


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"action": "pause", "channel": f"replay:{L2}"}, "not_subscribed"),
        ({"action": "pause", "channel": f"list:{L1}"}, "not_subscribed"),
        ({"action": "seek"}, "malformed"),
        ({"action": "speed"}, "malformed"),
        ({"action": "speed", "speed": 0}, "malformed"),
        ({"action": "rewind"}, "malformed"),
    ],
)
async def test_bad_control_is_refused(node: Node, message: dict[str, Any], code: str) -> None:
    client = await signed_in(node)
    await subscribed(client)
    reply = await reply_to(client, **{"type": "control", "channel": REPLAY} | message)
    assert (reply["type"], reply["code"]) == ("error", code)
    assert (await reply_to(client, type="control", channel=REPLAY, action="pause"))["state"] == "paused"
    await client.disconnect()


async def test_ninth_replay_of_a_user_is_refused(node: Node) -> None:
    """Whatever the socket; another user has replays of their own, and a place that is left is free."""
    sockets = [await signed_in(node, "bob") for _ in range(5)]
    for number in range(MAX_REPLAYS):
        channel = f"replay:{L1 if number < 5 else L2}"
        assert (await subscribed(sockets[number % 5], SLOWLY, channel))["type"] == "subscribed"
    refused = await subscribed(sockets[4], SLOWLY, f"replay:{L2}")
    assert (refused["code"], "at most 8 replays" in refused["message"]) == ("too_many", True)
    assert (await subscribed(await signed_in(node)))["type"] == "subscribed"
    assert (await subscribed(sockets[4]))["type"] == "subscribed"  # in place of its own
    assert (await reply_to(sockets[4], type="unsubscribe", channel=REPLAY))["type"] == "unsubscribed"
    assert (await subscribed(sockets[4], SLOWLY, f"replay:{L2}"))["type"] == "subscribed"
    await sockets[0].disconnect()
    assert (await subscribed(sockets[4]))["type"] == "subscribed"


async def test_second_subscription_replaces_the_first(node: Node) -> None:
    client = await signed_in(node)
    await subscribed(client)
    await subscribed(client, SLOWLY | {"to": START.isoformat()})
    assert (await received(client, state="ended"))["at"] == "2026-03-01T09:00:00.000000Z"
    assert len(node.relay.replays.watches) == 1


async def test_refused_subscription_leaves_the_first(node: Node) -> None:
    client = await signed_in(node)
    await subscribed(client)
    assert (await subscribed(client, {"speed": 0}))["code"] == "malformed"
    assert (await reply_to(client, type="control", channel=REPLAY, action="pause"))["state"] == "paused"


@pytest.mark.parametrize(
    ("members", "reason"),
    [({"bob"}, "you are no longer a member of the list"), (None, "the list was deleted")],
)
async def test_lost_access_ends_a_replay_with_the_reason(
    world: World, node: Node, members: set[str] | None, reason: str
) -> None:
    """And frees it; the reason is sent once, after everything that was sent before."""
    client, other = await signed_in(node), await signed_in(node, "bob")
    for each in (client, other):
        await subscribed(each)
        await received(each, state="playing")
    world.members[L1] = members or set()
    world.commit(list_update(world.next_position(0), L1, {"ann", "bob"}, members))
    node.publish_all()
    ended = await received(client, type="replay", state="ended")
    assert (ended["state"], ended["reason"]) == ("ended", reason)
    assert (await reply_to(client, type="control", channel=REPLAY, action="pause"))[
        "code"
    ] == "not_subscribed"
    assert len(node.relay.replays.watches) == (0 if members is None else 1)
    assert len(node.relay.replays.quota) == (0 if members is None else 1)


async def test_access_lost_while_it_begins_is_noticed(world: World, node: Node) -> None:
    """The rows still say that Ann is a member, when the update that removes her arrives."""
    client = await signed_in(node)
    world.query_ticks = 20
    client.send({"id": 1, "type": "subscribe", "channel": REPLAY, "replay": SLOWLY})
    while len(node.relay.replays.watches) == 0:  # noqa: ASYNC110  # within the query
        await asyncio.sleep(0)
    node.hub.watches.follow(list_update(world.next_position(0), L1, {"ann", "bob"}, {"bob"}))
    assert (await received(client, id=1))["code"] == "not_found"
    assert len(node.relay.replays.quota) == len(node.relay.replays.watches) == 0


async def test_unreadable_past_ends_a_replay_with_the_reason(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.read_consistency.RETRY_DELAYS_S", (0.0, 0.0, 0.0))
    client = await signed_in(node)
    await subscribed(client)
    await received(client, state="playing")
    node.past.failures = 99
    client.send({"type": "control", "channel": REPLAY, "action": "seek", "at": START.isoformat()})
    assert "cannot be read now" in (await received(client, state="ended"))["reason"]
    assert len(node.relay.replays.quota) == 0
    refused = await subscribed(client)
    assert refused["code"] == "unavailable"


async def test_error_of_a_replay_is_logged_and_its_details_are_not_sent(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await signed_in(node)
    await subscribed(client)
    await received(client, state="playing")
    monkeypatch.setattr(node.past, "list_at", None)
    with capture_logs() as lines:
        client.send({"type": "control", "channel": REPLAY, "action": "seek", "at": START.isoformat()})
        assert (await received(client, state="ended"))["reason"] == "internal error"
    assert [line["event"] for line in lines] == ["a replay failed"]
    assert len(node.relay.replays.quota) == 0


async def test_disconnect_frees_everything(node: Node) -> None:
    client = await signed_in(node)
    await subscribed(client)
    await client.disconnect()
    assert len(node.relay.replays.quota) == len(node.relay.replays.watches) == 0


async def test_slow_reader_slows_its_own_replay_only(node: Node) -> None:
    """It is never closed for it, and holds a few pages at most."""
    events = [TaskCreated(L1, "0"), *(TaskEdited({"notes": f"{n} " * 500}) for n in range(1_000))]
    records = [
        raw_of(record_of(event, version, stream=f"task:{L2}"), version)  # type: ignore[arg-type]
        for version, event in enumerate(events, start=1)
    ]
    node.past.__init__(fold_log(records)[1], page_size=100)  # type: ignore[misc]
    slow, quick = await signed_in(node), await signed_in(node, "bob")
    slow.send({"type": "subscribe", "channel": REPLAY, "replay": FULL_SPEED})
    await subscribed(quick, FULL_SPEED)
    await received(quick, state="ended")
    assert slow.send_queue is not None
    assert not slow.send_queue.closed
    assert 0 < slow.send_queue.waiting_bytes < 512 * 1024
    assert (await received(slow, state="ended"))["at"]
    assert not slow.send_queue.closed
