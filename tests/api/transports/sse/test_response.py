"""Event streams over a real server: contents, resumption, and closing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from api.endpoints import stream as sse
from api.endpoints.table import ENDPOINTS
from api.http.routing import routes
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.rate_limits import ConnectionLimits
from app.log.updates import Update
from tests.api.event_client import events
from tests.api.relay_world import NOW, Node, World, list_update, task_update
from tests.api.serving import Everyone, serving
from tests.waiting import eventually

LIST, OTHER = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"
TASK, SECRET = "00000000-0000-7000-8000-000000000011", "00000000-0000-7000-8000-000000000012"


@dataclass
class Served:
    """A node served at a port, and a client of Ann's."""

    node: Node
    relay: Relay
    connection_registry: ConnectionRegistry
    server: uvicorn.Server
    client: httpx.AsyncClient
    port: int
    now: list[float]

    def commit(self, count: int = 1, *, padding: int = 0) -> None:
        """Commit changes to Ann's task, alternating between the partitions."""
        world = self.node.world
        for _ in range(count):
            position = world.next_position(len(world.updates) % world.partitions)
            self.publish(padded(task_update(position, TASK, LIST), padding))

    def publish(self, update: Update) -> None:
        """Write an update and publish it."""
        self.node.world.commit(update)
        self.node.hub.publish(update)


def padded(update: Update, size: int) -> Update:
    """Return the update with more content."""
    return replace(update, value=update.value[:-1] + b',"x":"%s"}' % (b"x" * size)) if size else update


@asynccontextmanager
async def served(**timing: Any) -> AsyncIterator[Served]:
    """Serve a world with a list of Ann's, with shorter deadlines than the product's."""
    world = World(2)
    world.members = {LIST: {"ann"}, OTHER: {"bob"}}
    world.task_lists = {TASK: LIST, SECRET: OTHER}
    node = Node(world)
    now = [NOW]
    connection_registry = ConnectionRegistry()
    app = Starlette(routes=routes(each for each in ENDPOINTS if each.handler is sse.stream))
    app.state.deps = SimpleNamespace(verifier=world, inboxes=Everyone(), log=world)
    relay = replace(node.relay, now=lambda: now[0], **timing)
    app.state.live = SimpleNamespace(relay=relay, connection_registry=connection_registry)
    headers = {"Authorization": "Bearer ann"}
    async with (
        serving(app, connection_registry) as (server, port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client,
    ):
        yield Served(node, relay, connection_registry, server, client, port, now)


async def test_stream_begins_with_the_user_then_updates() -> None:
    """Each update with its type, its message, and the resulting positions."""
    async with served() as at:
        at.commit(3)
        async with events(at.client) as stream:
            assert stream.answer.headers["content-type"].startswith("text/event-stream")
            assert stream.answer.headers["cache-control"] == "no-store"
            assert stream.answer.headers["x-accel-buffering"] == "no"
            hello = await stream.next()
            assert (hello.name, hello.place) == ("authenticated", "0:1,1:0")
            assert hello.retry_ms
            assert hello.message["channels"] == ["user:ann", f"list:{LIST}"]
            await eventually(lambda: bool(at.node.hub.subscribers.users))
            assert [(each.transport, each.user) for each in at.connection_registry] == [("sse", "ann")]
            at.commit()
            event = await stream.next()
            assert (event.name, event.place) == ("update", "0:1,1:1")
            assert (event.message["channel"], event.message["position"]) == (f"list:{LIST}", "1:1")


async def test_empty_log_has_a_position_to_resume_from() -> None:
    async with served() as at:
        async with events(at.client) as stream:
            place = (await stream.next()).place
        at.commit(2)
        async with events(at.client, place) as stream:
            assert [(await stream.update())["position"] for _ in range(2)] == ["0:0", "1:0"]


@pytest.mark.parametrize("ring", [1_000, 1])
async def test_stream_resumes_from_any_event(ring: int) -> None:
    """From memory and from the audit; also in the middle of a recovery."""
    async with served() as at:
        at.node.hub.published.replay_buffer._slots = [None] * ring
        async with events(at.client) as stream:
            place = (await stream.next()).place
        got = list[str]()
        for round_ in range(6):
            at.commit(5)
            async with events(at.client, place) as stream:
                hello = await stream.next()
                assert hello.message["missed"] == 5 * (round_ + 1) - len(got)
                got += [(await stream.update())["position"] for _ in range(round_)]
                place = stream.place
        async with events(at.client, place) as stream:
            got += [(await stream.update())["position"] for _ in range(30 - len(got))]
            at.commit()
            got.append((await stream.update())["position"])
        assert len(got) == 31
        assert set(got) == {str(each.position) for each in at.node.world.updates}
        for partition in "01":
            offsets = [int(each[2:]) for each in got if each.startswith(partition)]
            assert offsets == sorted(offsets)


async def test_last_event_id_overrides_since() -> None:
    """A browser sends the former when it reconnects; an empty `since` is the very beginning."""
    async with served() as at:
        at.commit(4)
        async with events(at.client, params={"since": "0:0"}) as stream:
            assert (await stream.next()).message["missed"] == 3
        async with events(at.client, "0:1,1:0", {"since": "0:0"}) as stream:
            assert (await stream.update())["position"] == "1:1"
        async with events(at.client, params={"since": ""}) as stream:
            assert (await stream.next()).message["missed"] == 4


async def test_joined_list_counts_once_it_is_complete() -> None:
    """If interrupted, all of it is sent again, and nothing of other partitions is lost."""
    async with served() as at:
        for _ in range(3):
            at.publish(task_update(at.node.world.next_position(1), SECRET, OTHER))
        at.commit()
        async with events(at.client) as stream:
            hello = await stream.next()
            at.node.world.members[OTHER].add("ann")
            at.publish(list_update(at.node.world.next_position(0), OTHER, {"bob"}, {"ann", "bob"}))
            assert (await stream.named("subscribed")).message["missed"] == 4
            some = [await stream.next() for _ in range(3)]
            assert {event.place for event in some} == {hello.place}
            last = await stream.next()
            assert last.place == "0:0,1:3"
        for count in (2, 4):
            async with events(at.client, hello.place) as stream:
                assert (await stream.next()).message["missed"] == 4
                again = [await stream.next() for _ in range(count)]
                assert {event.place for event in again[:3]} == {hello.place}
        assert again[-1].place == "0:0,1:3"


async def test_requested_channels_are_included() -> None:
    """By name, and nothing twice."""
    twice = {"channel": [f"task:{TASK}", f"task:{TASK}"]}
    async with served() as at, events(at.client, params=twice) as stream:
        assert (await stream.named("subscribed")).message["channel"] == f"task:{TASK}"
        at.commit(2)
        assert [(await stream.update())["position"] for _ in range(2)] == ["0:0", "1:0"]


@pytest.mark.parametrize(
    ("headers", "params", "status", "code"),
    [
        ({"Authorization": ""}, {}, 401, "unauthenticated"),
        ({"Authorization": "Bearer bad"}, {"access_token": "ann"}, 401, "unauthenticated"),
        ({"Authorization": "Bearer bad"}, {}, 401, "unauthenticated"),
        ({}, {"since": "x"}, 400, "malformed"),
        ({}, {"since": "2:1"}, 400, "malformed"),
        ({"Last-Event-ID": "0:-5"}, {}, 400, "malformed"),
        ({}, {"channel": f"task:{SECRET}"}, 404, "not_found"),
        ({}, {"channel": f"list:{OTHER}"}, 404, "not_found"),
        ({}, {"channel": "user:bob"}, 403, "forbidden"),
        ({}, {"channel": "weather"}, 400, "malformed"),
        ({}, {"channel": ""}, 422, "invalid"),
        ({}, {"chanel": "x"}, 400, "malformed"),
    ],
)
async def test_invalid_request_is_a_problem(
    headers: dict[str, str], params: dict[str, str], status: int, code: str
) -> None:
    """Before the stream begins."""
    async with served() as at:
        answer = await at.client.get("/api/stream", headers=headers, params=params)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(at.connection_registry) == 0


async def test_streams_per_address_and_user_are_bounded() -> None:
    """One too many of an address is a problem; one too many of a user ends, with a long retry time."""
    quotas = ConnectionLimits(per_user=1, per_address=2)
    async with served(quotas=quotas) as at, events(at.client) as stream:
        await stream.next()
        async with events(at.client) as second:
            (end,) = await second.rest()
            assert (end.name, end.message["code"]) == ("goodbye", 4504)
            assert (end.retry_ms or 0) >= 30_000
        bob = {"Authorization": "Bearer bob"}
        async with events(at.client, headers=bob) as third:
            await third.next()
            answer = await at.client.get("/api/stream")
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
            assert answer.headers["Retry-After"]
        await eventually(lambda: len(at.connection_registry) == 1)
        async with events(at.client, headers=bob) as again:
            assert (await again.next()).message["user"] == "bob"
    assert not len(quotas.users)
    assert not len(quotas.addresses)


async def test_streams_are_counted() -> None:
    """Open, sent, and the reasons for closing."""
    async with served(ping_s=0.05) as at:
        async with events(at.client) as stream:
            await stream.next()
            at.commit(3)
            for _ in range(3):
                await stream.update()
            counters = at.relay.counters
            traffic = counters.traffic_of("sse", "json")
            assert (traffic.open, traffic.messages) == (1, 4)
            assert traffic.size_bytes > 400
            at.now[0] += 3600
            await stream.rest()
            at.now[0] -= 3600
        async with events(at.client):
            pass
        await eventually(lambda: traffic.opened == 2 and traffic.open == 0)
        assert counters.closes["4005", "server"] == 1


async def test_node_without_positions_is_503() -> None:
    """It does not know yet where updates begin."""
    async with served() as at:
        at.node.hub.published.partitions = 0
        assert (await at.client.get("/api/stream")).status_code == 503


async def test_token_may_be_in_the_query() -> None:
    """`EventSource` of browsers sets no headers; only here."""
    async with served() as at:
        del at.client.headers["Authorization"]
        async with events(at.client, params={"access_token": "ann"}) as stream:
            assert (await stream.next()).message["user"] == "ann"


async def test_head_does_not_stream() -> None:
    """It ends."""
    async with served() as at:
        answer = await at.client.head("/api/stream")
        assert (answer.status_code, answer.text) == (200, "")
        assert answer.headers["content-type"].startswith("text/event-stream")


async def test_quiet_stream_has_heartbeats() -> None:
    """Comments, not events."""
    async with served(ping_s=0.05) as at, events(at.client) as stream:
        names = [(await stream.next()).name for _ in range(4)]
        assert names == ["authenticated", "", "", ""]


async def test_stream_ends_with_its_token() -> None:
    """With the reason and the position."""
    async with served(ping_s=0.05) as at, events(at.client) as stream:
        await stream.next()
        at.commit()
        await stream.update()
        at.now[0] += 3600
        last = (await stream.rest())[-1]
        assert (last.name, last.message["code"], last.place) == ("goodbye", 4005, "0:0")


async def test_stream_ends_when_its_token_is_refused_later() -> None:
    """With the error and the goodbye."""
    async with served() as at:
        edge_verify = at.node.world.verify
        asked = 0

        async def verify(token: str) -> Any:
            nonlocal asked
            asked += 1
            return await edge_verify(token if asked == 1 else "bad")

        at.node.world.verify = verify  # type: ignore[method-assign]
        async with events(at.client) as stream:
            assert [(each.name, each.message["code"]) for each in await stream.rest()] == [
                ("error", "unauthenticated"),
                ("goodbye", 4500),
            ]


async def test_draining_ends_all_streams_with_different_retry_times() -> None:
    """So that not all reconnect at once; the connection is kept for the next request."""
    async with served() as at:
        async with contextlib.AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(events(at.client)) for _ in range(5)]
            for stream in streams:
                await stream.next()
            at.commit()
            await at.connection_registry.drain()
            assert len(at.connection_registry) == 0
            ends = [await stream.rest() for stream in streams]
        for end in ends:
            assert [event.name for event in end] == ["update", "goodbye"]
            assert end[-1].message["code"] == 4001
            assert end[-1].place == "0:0"
        pauses = {end[-1].retry_ms for end in ends}
        assert len(pauses) > 1
        assert all(pause is not None and 0 <= pause <= 8_000 for pause in pauses)
        async with events(at.client) as late:
            assert (await late.rest())[-1].name == "goodbye"


async def test_disconnected_stream_is_removed_at_once() -> None:
    """No subscriber, no task stays."""
    async with served() as at:
        before = len(asyncio.all_tasks())

        async def visit() -> None:
            async with events(at.client) as stream:
                await stream.next()

        for _ in range(5):
            await asyncio.gather(*(visit() for _ in range(20)))
        await eventually(lambda: len(at.connection_registry) == 0)
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
        assert not at.node.hub.subscribers.users
        assert not at.node.hub.subscribers.channels


async def test_too_many_missed_updates_are_a_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every channel; if interrupted before the next update, it is sent again."""
    monkeypatch.setattr("api.relay.recovery.MAX_MISSED", 3)
    async with served() as at:
        at.commit(8)
        place: str | None = "0:0"
        for _ in range(2):
            async with events(at.client, place) as stream:
                assert [(await stream.next()).name for _ in range(3)] == ["authenticated", "resync", "resync"]
                place = stream.place
        async with events(at.client, place) as stream:
            await stream.named("resync")
            at.commit()
            assert (await stream.named("update")).place == "0:4,1:3"


async def test_stream_that_is_never_read_is_closed() -> None:
    """While another one gets every update; its connection is not kept."""
    async with served() as at, events(at.client) as good:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port, limit=1024)
        writer.write(b"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await good.next()
        await eventually(lambda: len(at.node.hub.subscribers.users.get("ann", ())) == 2)
        largest = 0
        for _ in range(120):
            at.commit(50, padding=2_000)
            largest = max(largest, *(each._send_queue.size for each in at.connection_registry))  # type: ignore[attr-defined]
            for _ in range(50):
                await good.update()
        await eventually(lambda: len(at.connection_registry) == 1)
        await eventually(lambda: len(at.server.server_state.connections) == 1)
        assert largest < 5 * 1024 * 1024
        writer.transport.abort()


async def test_connection_serves_several_streams() -> None:
    """HTTP/1.1 keeps it when a stream ends in order."""
    async with served(ping_s=0.02) as at:
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(
            base_url=at.client.base_url, headers=at.client.headers, limits=limits, trust_env=False
        ) as one:
            for _ in range(3):
                async with events(one) as stream:
                    await stream.next()
                    at.now[0] += 3600
                    assert (await stream.rest())[-1].name == "goodbye"
                    at.now[0] -= 3600
                assert len(at.server.server_state.connections) == 1
