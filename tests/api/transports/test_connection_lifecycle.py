"""The life of a connection is the same on every transport: deadlines, token, quotas, counters, close."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Protocol

import httpx
import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from api.auth import Identity
from api.endpoints import replay as sse_replay
from api.endpoints import stream as sse
from api.endpoints.table import ENDPOINTS
from api.http.routing import routes
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.rate_limits import ConnectionLimits
from api.relay.recovery import Recovery
from api.telemetry.counters import Transport
from api.transports.socket_io.server import SocketIo, socketio_route
from api.transports.websocket.endpoint import LiveSockets
from tests.api.event_client import EventReader, events
from tests.api.relay.test_hub_sockets import ending, receive
from tests.api.relay_world import NOW, Node, World, task_update
from tests.api.serving import Everyone, serving
from tests.api.socket_io_client import Client, opened
from tests.sources import modules
from tests.waiting import eventually

LIST, TASK = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000011"
TRANSPORTS: tuple[Transport, ...] = ("websocket", "sse", "socketio")


@dataclass
class Served:
    """A node that serves all transports at one port."""

    node: Node
    relay: Relay
    connection_registry: ConnectionRegistry
    port: int
    now: list[float]
    tokens: set[str] = field(default_factory=set)

    def open_connections(self, transport: Transport) -> int:
        """Return the number of connections that are counted as open."""
        return self.relay.counters.traffic_of(transport, "json").open

    async def is_empty(self) -> None:
        """Wait until nothing is left of any connection."""
        await eventually(lambda: len(self.connection_registry) == 0)
        await eventually(lambda: not self.node.hub.subscribers.users)
        assert not self.node.hub.subscribers.channels
        assert [self.open_connections(transport) for transport in TRANSPORTS] == [0, 0, 0]
        await eventually(lambda: not len(self.relay.quotas.addresses))
        assert not len(self.relay.quotas.users)


@asynccontextmanager
async def served(**timing: Any) -> AsyncIterator[Served]:
    """Serve a world with a list of Ann's, with shorter deadlines than the product's."""
    world = World(1)
    world.members, world.task_lists = {LIST: {"ann"}}, {TASK: LIST}
    node, now, registry = Node(world), [NOW], ConnectionRegistry()
    quotas = ConnectionLimits(per_user=2, per_address=4)
    relay = replace(node.relay, **{"now": lambda: now[0], "quotas": quotas, **timing})
    socketio = SocketIo(relay, origins=[], connection_registry=registry)
    sockets = LiveSockets(relay, origins=[], connection_registry=registry)
    streams = routes(each for each in ENDPOINTS if each.handler in {sse.stream, sse_replay.replay})
    app = Starlette(routes=[sockets.route(), socketio_route(), *streams])
    app.state.deps = SimpleNamespace(verifier=world, inboxes=Everyone(), log=world)
    app.state.live = SimpleNamespace(relay=relay, connection_registry=registry, socketio=socketio)
    try:
        async with serving(app, registry) as (_, port):
            yield Served(node, relay, registry, port, now)
    finally:
        await socketio.stop()


class Visitor(Protocol):
    """A client on one transport."""

    async def authenticate(self, token: str) -> None:
        """Send the token; an event stream has sent it."""

    async def authenticated(self) -> None:
        """Wait until the user is known."""

    async def update(self) -> str:
        """Return the position of the next update."""

    async def end(self) -> tuple[int | None, int | None]:
        """Return the code of the goodbye, and of the close, where the transport has one."""


@dataclass
class SocketVisitor:
    """A client of the WebSocket."""

    socket: ClientConnection

    async def authenticate(self, token: str) -> None:
        await self.socket.send(json.dumps({"id": 1, "type": "authenticate", "token": token}))

    async def authenticated(self) -> None:
        assert (await receive(self.socket))["type"] == "authenticated"

    async def update(self) -> str:
        while (message := await receive(self.socket))["type"] != "update":
            pass
        return str(message["position"])

    async def end(self) -> tuple[int | None, int | None]:
        messages, code = await ending(self.socket)
        return next((each["code"] for each in messages if each["type"] == "goodbye"), None), code


@dataclass
class EventVisitor:
    """A client of the event stream."""

    stream: EventReader

    async def authenticate(self, token: str) -> None:
        pass

    async def authenticated(self) -> None:
        await self.stream.named("authenticated")

    async def update(self) -> str:
        return str((await self.stream.update())["position"])

    async def end(self) -> tuple[int | None, int | None]:
        return next((e.message["code"] for e in await self.stream.rest() if e.name == "goodbye"), None), None


@dataclass
class SocketIoVisitor:
    """A client of Socket.IO."""

    client: Client

    async def authenticate(self, token: str) -> None:
        await self.client.emit("authenticate", {"token": token})

    async def authenticated(self) -> None:
        assert (await self.client.receive())[0] == "authenticated"

    async def update(self) -> str:
        while (received := await self.client.receive())[0] != "task:update":
            pass
        return str(received[1]["position"])

    async def end(self) -> tuple[int | None, int | None]:
        packets, code = await self.client.ending()
        received = [json.loads(packet[2:]) for packet in packets if packet.startswith("42")]
        return next((each["code"] for name, each in received if name == "goodbye"), None), code


@asynccontextmanager
async def by_websocket(at: Served, user: str = "ann") -> AsyncIterator[Visitor]:
    del user
    async with connect(f"ws://127.0.0.1:{at.port}/ws") as socket:
        yield SocketVisitor(socket)


@asynccontextmanager
async def by_event_stream(at: Served, user: str = "ann") -> AsyncIterator[Visitor]:
    url, headers = f"http://127.0.0.1:{at.port}", {"Authorization": f"Bearer {user}"}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client,
        events(client) as stream,
    ):
        yield EventVisitor(stream)


@asynccontextmanager
async def by_socketio(at: Served, user: str = "ann") -> AsyncIterator[Visitor]:
    del user
    async with opened(at) as client:  # type: ignore[arg-type]
        yield SocketIoVisitor(client)


Open = Callable[..., AbstractAsyncContextManager[Visitor]]
OPEN: dict[Transport, Open] = {
    "websocket": by_websocket,
    "sse": by_event_stream,
    "socketio": by_socketio,
}
on_each_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@asynccontextmanager
async def signed_in(at: Served, transport: Transport) -> AsyncIterator[Visitor]:
    """Yield a client of Ann's that is authenticated."""
    async with OPEN[transport](at) as visitor:
        await visitor.authenticate("ann")
        await visitor.authenticated()
        yield visitor


def codes(transport: Transport, code: int) -> tuple[int | None, int | None]:
    """Return the code of the goodbye, which clients that may return get, and of the close."""
    return (code if code < 4500 or transport == "sse" else None), (None if transport == "sse" else code)


class Slow:
    """A verifier that never answers."""

    async def verify(self, token: str) -> Identity:
        await asyncio.Event().wait()
        raise AssertionError(token)


@pytest.mark.parametrize("transport", ["websocket", "socketio"])
async def test_connection_without_a_token_is_closed_at_the_deadline(transport: Transport) -> None:
    """For good. An event stream without a token is refused at once."""
    async with served(authentication_s=0.2) as at:
        async with OPEN[transport](at) as visitor:
            assert await visitor.end() == codes(transport, 4502)
        await at.is_empty()
        assert at.relay.counters.closes["4502", "server"] == 1


@on_each_transport
async def test_slow_authentication_invites_the_client_to_return(transport: Transport) -> None:
    async with served(authentication_s=0.2, verifier=Slow()) as at:
        async with OPEN[transport](at) as visitor:
            await visitor.authenticate("ann")
            assert await visitor.end() == codes(transport, 4001)
        await at.is_empty()
        assert at.relay.counters.closes["4001", "server"] == 1


@on_each_transport
async def test_deadline_does_not_end_a_long_recovery(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is known; the missed updates are still being sent."""
    recovered, asked = asyncio.Event(), asyncio.Event()
    send_missed = Recovery.send_missed

    async def slowly(self: Recovery, missed: Any) -> None:
        asked.set()
        await recovered.wait()
        await send_missed(self, missed)

    monkeypatch.setattr(Recovery, "send_missed", slowly)
    async with served(authentication_s=0.05) as at, OPEN[transport](at) as visitor:
        await visitor.authenticate("ann")
        await asked.wait()
        passed = asyncio.get_running_loop().time() + 0.1
        await eventually(lambda: asyncio.get_running_loop().time() > passed)
        recovered.set()
        if transport != "sse":
            await visitor.authenticated()
        world = at.node.world
        at.node.hub.publish(world.commit(task_update(world.next_position(0), TASK, LIST)))
        assert await visitor.update() == "0:0"


@on_each_transport
async def test_connection_ends_with_its_token(transport: Transport) -> None:
    async with served(ping_s=0.1) as at:
        async with signed_in(at, transport) as visitor:
            assert at.open_connections(transport) == 1
            at.now[0] += 3600
            assert await visitor.end() == codes(transport, 4005)
        await at.is_empty()
        assert at.relay.counters.closes["4005", "server"] == 1


class Lasting:
    """A verifier whose tokens are the seconds that they last."""

    async def verify(self, token: str) -> Identity:
        return Identity("ann", admin=False, expires_at=NOW + float(token))


async def test_newer_token_extends_the_life_of_a_socket() -> None:
    async with served(ping_s=0.5, verifier=Lasting()) as at:
        async with connect(f"ws://127.0.0.1:{at.port}/ws") as socket:
            for kind, token, answer in (
                ("authenticate", "10", "authenticated"),
                ("refresh", "7200", "refreshed"),
            ):
                await socket.send(json.dumps({"id": 1, "type": kind, "token": token}))
                assert (await receive(socket))["type"] == answer
            at.now[0] += 100
            for _ in range(2):
                assert (await receive(socket))["type"] == "ping"
                await socket.send(json.dumps({"type": "pong"}))
            at.now[0] += 7200
            assert await SocketVisitor(socket).end() == codes("websocket", 4005)
        await at.is_empty()


@on_each_transport
async def test_connection_over_the_quota_of_its_user_is_closed(transport: Transport) -> None:
    async with served() as at:
        async with signed_in(at, transport), signed_in(at, transport):
            async with OPEN[transport](at) as third:
                await third.authenticate("ann")
                assert await third.end() == codes(transport, 4504)
            assert at.relay.counters.limited["user_connections"] == 1
        await at.is_empty()


@on_each_transport
async def test_connection_over_the_quota_of_its_address_is_refused(transport: Transport) -> None:
    """Before it is opened; whatever transports the others use."""
    async with served() as at:
        async with contextlib.AsyncExitStack() as stack:
            for each in ("websocket", "socketio", "sse", "websocket"):
                await stack.enter_async_context(OPEN[each](at, "bob"))
            with pytest.raises((InvalidStatus, AssertionError)) as refused:
                await stack.enter_async_context(OPEN[transport](at))
            status = refused.value
            assert (
                status.response.status_code == 429
                if isinstance(status, InvalidStatus)
                else "too many" in str(status)
            )
            assert at.relay.counters.limited["address_connections"] == 1
        await at.is_empty()


@on_each_transport
async def test_draining_closes_connections_with_a_goodbye(transport: Transport) -> None:
    """And those that come late."""
    async with served() as at:
        async with signed_in(at, transport) as visitor:
            await at.connection_registry.drain()
            assert await visitor.end() == codes(transport, 4001)
        await at.is_empty()
        assert at.relay.counters.closes["4001", "server"] == 1


@on_each_transport
async def test_failure_closes_one_connection_only(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: object, message: object) -> None:
        raise RuntimeError(str(message))

    async with served() as at:
        async with signed_in(at, transport) as other:
            with monkeypatch.context() as patched:
                patched.setattr("api.relay.session.Session.handle", fail)
                async with OPEN[transport](at) as visitor:
                    await visitor.authenticate("ann")
                    assert await visitor.end() == codes(transport, 4000)
            world = at.node.world
            at.node.hub.publish(world.commit(task_update(world.next_position(0), TASK, LIST)))
            assert await other.update() == "0:0"
        await at.is_empty()


@on_each_transport
async def test_peers_that_leave_are_counted_as_clients(transport: Transport) -> None:
    async with served() as at:
        async with signed_in(at, transport):
            pass
        await at.is_empty()
        by_clients = {by for (_, by), count in at.relay.counters.closes.items() if count}
        assert by_clients == {"client"}


LIFECYCLE = "api/transports/connection_lifecycle.py"
ITS_OWN = frozenset(
    {
        *("authentication_s", "expires_at", "quotas", "limited", "opened", "left"),
        *("NOT_AUTHENTICATED", "TOKEN_EXPIRED", "INTERNAL_ERROR"),
    }
)
"""The attributes by which a module would decide about the life of a connection."""


def test_only_the_lifecycle_decides_about_the_life_of_connections() -> None:
    sources = dict(modules("api/transports"))
    its_own = sources.pop(LIFECYCLE)
    assert sources
    assert [fault for name, source in sources.items() for fault in faults(source, name)] == []
    assert faults(its_own, LIFECYCLE)


def faults(source: str, name: str) -> list[str]:
    """Return the places that use what belongs to the lifecycle."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=attribute) if attribute in ITS_OWN:
                found.append(f"{name}:{node.lineno} {attribute}")
            case ast.Call(func=ast.Name(id="Session")):
                found.append(f"{name}:{node.lineno} Session()")
            case _:
                pass
    return found
