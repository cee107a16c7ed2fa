"""Replays are the same on every transport: their messages, controls, limits, ends and counters."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from api.protocol.limits import MAX_REPLAYS
from api.relay.rate_limits import ConnectionLimits
from api.telemetry.counters import Transport
from app.tasks.events import TaskCreated, TaskEdited
from tests.api.event_client import EventReader
from tests.api.relay.test_hub_sockets import receive
from tests.api.relay_world import list_update
from tests.api.socket_io_client import Client, opened
from tests.api.transports.test_connection_lifecycle import LIST, TASK, TRANSPORTS, Served, served
from tests.folding import fold_log
from tests.spec import START, raw_of, record_of
from tests.waiting import eventually

REPLAY = f"replay:{LIST}"
EVENTS = 40
FULL_SPEED: dict[str, Any] = {"speed": 1e9, "max_gap_ms": 0}
SLOWLY: dict[str, Any] = {"speed": 1, "max_gap_ms": 3_600_000}
Messages = Callable[[], Awaitable[dict[str, Any]]]
"""The next message of a replay."""

on_each_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@asynccontextmanager
async def world_with_a_past() -> AsyncIterator[Served]:
    """Serve a world whose list has a task with an event for each minute."""
    events = [TaskCreated(LIST, "0"), *(TaskEdited({"title": str(n)}) for n in range(1, EVENTS))]
    records = [
        raw_of(
            record_of(event, version, stream=f"task:{TASK}", time=START + timedelta(minutes=version)),  # type: ignore[arg-type]
            version,
        )
        for version, event in enumerate(events, start=1)
    ]
    async with served(quotas=ConnectionLimits(per_user=99, per_address=99)) as at:
        at.node.past.__init__(fold_log(records)[1])  # type: ignore[misc]
        yield at


# --- a replay on each transport --------------------------------------------------------------------------


@asynccontextmanager
async def by_websocket(at: Served, options: Mapping[str, Any]) -> AsyncIterator[Messages]:
    async with connect(f"ws://127.0.0.1:{at.port}/ws") as socket:

        async def following() -> dict[str, Any]:
            while (message := await receive(socket)).get("channel") != REPLAY:
                pass
            return message

        await socket.send(json.dumps({"id": 1, "type": "authenticate", "token": "ann"}))
        request = {"id": 2, "type": "subscribe", "channel": REPLAY, "replay": options}
        await socket.send(json.dumps(request))
        while (reply := await receive(socket)).get("id") != 2:
            pass
        assert reply["type"] == "subscribed", reply["code"]
        yield following


@asynccontextmanager
async def by_event_stream(at: Served, options: Mapping[str, Any]) -> AsyncIterator[Messages]:
    async with (
        httpx.AsyncClient(headers={"Authorization": "Bearer ann"}, trust_env=False) as client,
        client.stream("GET", f"http://127.0.0.1:{at.port}/api/lists/{LIST}/replay", params=options) as answer,
    ):
        if answer.status_code != 200:
            await answer.aread()
            raise AssertionError(answer.json()["code"])
        stream = EventReader(answer, None)

        async def following() -> dict[str, Any]:
            while not (event := await stream.next()).name:
                pass
            message: dict[str, Any] = event.message
            assert event.name == message["type"]
            return message

        yield following


@asynccontextmanager
async def by_socketio(at: Served, options: Mapping[str, Any]) -> AsyncIterator[Messages]:
    async with opened(at, {"token": "ann"}) as client:  # type: ignore[arg-type]
        while (await client.receive())[0] != "authenticated":
            pass
        await client.emit("subscribe:replay", {"listId": LIST, "replay": options}, ack=7)
        first: list[str] = []
        while not (packet := await client.packet()).startswith("437"):
            first.append(packet)  # The acknowledgement may come after the first events.
        answer = json.loads(packet[3:])[0]
        assert answer["type"] == "subscribed", answer["code"]
        assert (answer["channel"], answer["listId"]) == (REPLAY, LIST)
        yield replay_events(client, first)


def replay_events(client: Client, first: Sequence[str] = ()) -> Messages:
    """Return the function that returns the next message of a replay; the `first` packets came already."""
    packets = deque(first)

    async def following() -> dict[str, Any]:
        while True:
            packet = packets.popleft() if packets else await client.packet()
            if packet.startswith("42"):
                name, message = json.loads(packet[2:])
                if name in {"replay", "replay:update"}:
                    assert name == ("replay" if message["type"] == "replay" else "replay:update")
                    return dict(message)

    return following


REPLAYING: dict[Transport, Callable[[Served, Mapping[str, Any]], AbstractAsyncContextManager[Messages]]] = {
    "websocket": by_websocket,
    "sse": by_event_stream,
    "socketio": by_socketio,
}


async def until(following: Messages, state: str) -> list[dict[str, Any]]:
    """Return the messages up to that of a state."""
    messages = [await following()]
    while messages[-1].get("state") != state:
        messages.append(await following())
    return messages


async def test_messages_of_a_replay_are_the_same_on_each_transport() -> None:
    async with world_with_a_past() as at:
        found = {}
        for transport in TRANSPORTS:
            async with REPLAYING[transport](at, FULL_SPEED) as following:
                found[transport] = await until(following, "ended")
    sent = found["websocket"]
    assert [message["task"]["title"] for message in sent if message["type"] == "update"] == [
        str(number) for number in range(EVENTS)
    ]
    assert [each["state"] for each in sent if each["type"] == "replay"] == ["snapshot", "playing", "ended"]
    assert found == dict.fromkeys(TRANSPORTS, sent)


@on_each_transport
@pytest.mark.parametrize(
    ("members", "reason"),
    [({"bob"}, "you are no longer a member of the list"), (None, "the list was deleted")],
)
async def test_lost_access_ends_a_replay_with_the_reason(
    transport: Transport, members: set[str] | None, reason: str
) -> None:
    async with world_with_a_past() as at, REPLAYING[transport](at, SLOWLY) as following:
        await until(following, "playing")
        world = at.node.world
        world.members[LIST] = members or set()
        update = list_update(world.next_position(0), LIST, {"ann", "bob"}, members)
        at.node.hub.publish(world.commit(update))
        assert (await until(following, "ended"))[-1]["reason"] == reason
        assert len(at.relay.replays.watches) == 0
        await eventually(lambda: len(at.relay.replays.quota) == 0)


async def test_replays_of_a_user_are_counted_over_all_transports() -> None:
    """The ninth is refused on each of them, and one that ends makes room."""
    async with world_with_a_past() as at, AsyncExitStack() as stack:
        last = await stack.enter_async_context(AsyncExitStack())
        for number in range(MAX_REPLAYS):
            holder = last if number == 0 else stack
            await holder.enter_async_context(REPLAYING[TRANSPORTS[number % 3]](at, SLOWLY))
        for transport in TRANSPORTS:
            with pytest.raises(AssertionError, match="too_many"):
                await stack.enter_async_context(REPLAYING[transport](at, SLOWLY))
        await last.aclose()
        await eventually(lambda: not at.relay.replays.quota.is_full("ann"))
        await stack.enter_async_context(REPLAYING["socketio"](at, SLOWLY))


@on_each_transport
async def test_messages_of_a_replay_are_counted(transport: Transport) -> None:
    """As other messages of the connection, and its updates as deliveries."""
    async with world_with_a_past() as at:
        traffic = at.relay.counters.traffic_of(transport, "json")
        async with REPLAYING[transport](at, FULL_SPEED) as following:
            messages = await until(following, "ended")
            size = sum(len(json.dumps(message, separators=(",", ":"))) for message in messages)
            assert at.relay.counters.traffic_of(transport, "json") is traffic
            assert len(messages) <= traffic.messages <= len(messages) + 4  # with the replies
            assert size < traffic.size_bytes < 1.2 * size + 2_000
        assert at.node.hub.counters.delivered == EVENTS


# --- Socket.IO -------------------------------------------------------------------------------------------


async def test_controls_of_socketio_are_those_of_a_socket() -> None:
    """Each answer is an acknowledgement, and an event that stands at its place among the updates."""
    async with world_with_a_past() as at, opened(at, {"token": "ann"}) as client:  # type: ignore[arg-type]
        following = replay_events(client)
        await client.emit("subscribe:replay", {"listId": LIST, "replay": SLOWLY})
        await until(following, "playing")
        assert (await following())["task"]["title"] == "0"  # due at once
        third = (START + timedelta(minutes=3)).isoformat()

        async def control(action: str, **values: Any) -> list[dict[str, Any]]:
            await client.emit("control:replay", {"listId": LIST, "action": action, **values})
            return await until(following, {"resume": "playing"}.get(action, "paused"))

        assert [each["type"] for each in await control("pause")] == ["replay"]
        snapshot, paused = await control("seek", at=third)
        assert (snapshot["tasks"][0]["title"], paused["at"]) == ("2", "2026-03-01T09:03:00.000000Z")
        update, paused = await control("step")
        assert (update["task"]["title"], paused["at"]) == ("3", update["at"])
        assert (await control("speed", speed=1e9))[-1]["speed"] == 1e9
        answer = await client.ask("control:replay", {"listId": LIST, "action": "seek", "at": third})
        assert (answer["state"], answer["listId"], "id" in answer) == ("paused", LIST, False)
        assert (await client.ask("unsubscribe:replay", LIST))["type"] == "unsubscribed"
        answer = await client.ask("control:replay", {"listId": LIST, "action": "pause"})
        assert answer["code"] == "not_subscribed"


@pytest.mark.parametrize(
    ("name", "argument", "code"),
    [
        ("subscribe:replay", None, "malformed"),
        ("subscribe:replay", {"listId": 5}, "malformed"),
        ("subscribe:replay", {"listId": TASK}, "not_found"),
        ("subscribe:replay", {"listId": LIST, "replay": {"speed": 0}}, "malformed"),
        ("subscribe:replay", {"listId": LIST, "replay": {"speed": float("nan")}}, "malformed"),
        ("subscribe:replay", {"listId": LIST, "replay": {"types": ["\ud800"]}}, "malformed"),
        ("subscribe:replay", {"listId": LIST, "since": {"0": 1}}, "malformed"),
        ("control:replay", {"listId": LIST, "action": "rewind"}, "malformed"),
        ("control:replay", {"listId": LIST, "action": "seek"}, "malformed"),
        ("control:replay", {"listId": LIST, "action": "pause"}, "not_subscribed"),
        ("unsubscribe:replay", {}, "malformed"),
    ],
)
async def test_bad_request_of_socketio_is_refused(name: str, argument: Any, code: str) -> None:
    async with world_with_a_past() as at, opened(at, {"token": "ann"}) as client:  # type: ignore[arg-type]
        assert (await client.ask(name, argument))["code"] == code
        assert len(at.relay.replays.watches) == 0


async def test_control_that_waits_is_answered_when_its_replay_ends() -> None:
    """So no acknowledgement is missing."""
    async with world_with_a_past() as at, opened(at, {"token": "ann"}) as client:  # type: ignore[arg-type]
        await client.emit("subscribe:replay", {"listId": LIST, "replay": SLOWLY})
        await until(replay_events(client), "playing")
        at.node.past.query_ticks = 1_000_000
        for number, action in enumerate(("seek", "pause")):
            argument = {"listId": LIST, "action": action, "at": START.isoformat()}
            await client.emit("control:replay", argument, ack=number)
        await client.emit("unsubscribe:replay", LIST, ack=2)
        answers: dict[str, Any] = {}
        while len(answers) < 3:
            packet = await client.packet()
            if packet.startswith("43"):
                answers[packet[2]] = json.loads(packet[3:])[0]
        assert [answers[each].get("code") for each in "012"] == ["not_subscribed", "not_subscribed", None]
