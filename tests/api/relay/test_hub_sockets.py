"""Sockets over a real server: handshakes, deadlines, slow and silent peers, and closing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import ormsgpack
import pytest
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from api.protocol.client_messages import PACKED_SUBPROTOCOL, SUBPROTOCOL
from api.transports.websocket import server_protocol
from api.transports.websocket.endpoint import LiveSockets
from app.positions import Position
from tests.api.relay_world import NOW, Node, World, task_update
from tests.api.serving import serving
from tests.waiting import LIMIT_S, eventually

LIST, TASK = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000011"

UPDATES = 6_000
"""Of 2 KB each: more than the buffers of a socket and of an outbox together."""


@dataclass
class Served:
    """A node served at a port."""

    node: Node
    sockets: LiveSockets
    server: uvicorn.Server
    port: int
    now: list[float]

    @property
    def url(self) -> str:
        """Return the URL of its sockets."""
        return f"ws://127.0.0.1:{self.port}/ws"


@asynccontextmanager
async def served(options: Mapping[str, Any] | None = None, **timing: Any) -> AsyncIterator[Served]:
    """Serve a world with a list of Ann's, with shorter deadlines than the product's, and options of
    uvicorn."""
    world = World(1)
    world.members = {LIST: {"ann"}}
    world.task_lists = {TASK: LIST}
    node = Node(world)
    now = [NOW]
    relay = replace(node.relay, now=lambda: now[0], **timing)
    sockets = LiveSockets(relay, origins=["https://tasks.example"])
    app = Starlette(routes=[sockets.route()])
    async with serving(app, sockets.connection_registry, **options or {}) as (server, port):
        yield Served(node, sockets, server, port, now)


async def receive(socket: ClientConnection) -> dict[str, Any]:
    """Return the next message."""
    message: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), LIMIT_S))
    return message


@asynccontextmanager
async def signed_in(at: Served, user: str = "ann") -> AsyncIterator[ClientConnection]:
    """Return an authenticated socket."""
    async with connect(at.url, subprotocols=[Subprotocol(SUBPROTOCOL)]) as socket:
        await socket.send(json.dumps({"id": 1, "type": "authenticate", "token": user}))
        assert (await receive(socket))["type"] == "authenticated"
        yield socket


async def ending(socket: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """Return the remaining messages and the close code."""
    messages = []
    try:
        while True:
            messages.append(await receive(socket))
    except ConnectionClosed as closed:
        return messages, closed.rcvd.code if closed.rcvd else None


async def test_subprotocol_is_negotiated() -> None:
    """None offered is allowed; ours is chosen among others; only unknown ones are refused with a reason."""
    async with served() as at:
        async with connect(at.url) as plain:
            assert plain.subprotocol is None
        offered = [Subprotocol("other"), Subprotocol(SUBPROTOCOL)]
        async with connect(at.url, subprotocols=offered) as among_others:
            assert among_others.subprotocol == SUBPROTOCOL
        with pytest.raises(InvalidStatus) as refused:
            async with connect(at.url, subprotocols=[Subprotocol("other")]):
                pass
        assert refused.value.response.status_code == 400
        assert SUBPROTOCOL in (refused.value.response.body or b"").decode()


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
async def test_updates_have_the_requested_encoding(*, compressed: bool, packed: bool, batched: bool) -> None:
    """JSON or msgpack, single or in arrays, compressed or not: live and missed ones."""
    subprotocol = Subprotocol(PACKED_SUBPROTOCOL if packed else SUBPROTOCOL)
    features = {"features": ["batch"] if batched else []}
    read: Callable[[Any], Any] = ormsgpack.unpackb if packed else json.loads
    write: Callable[[Any], str | bytes] = ormsgpack.packb if packed else json.dumps
    async with served({"ws_per_message_deflate": True}) as at:
        offer = "deflate" if compressed else None
        for _ in range(40):
            _happen(at)
        async with connect(at.url, subprotocols=[subprotocol], compression=offer) as socket:
            assert socket.subprotocol == subprotocol
            assert bool(socket.protocol.extensions) == compressed
            hello = {"id": 1, "type": "authenticate", "token": "ann", "since": {"0": 9}, **features}
            await socket.send(write(hello))
            frames: list[Any] = []

            async def updates(count: int) -> list[str]:
                """Return the positions of the next updates."""
                found: list[str] = []
                while len(found) < count:
                    frames.append(read(await asyncio.wait_for(socket.recv(), LIMIT_S)))
                    messages = frames[-1] if isinstance(frames[-1], list) else [frames[-1]]
                    found += [each["position"] for each in messages if each["type"] == "update"]
                return found

            assert await updates(30) == [f"0:{offset}" for offset in range(10, 40)]
            with at.node.hub.batching():
                for _ in range(5):
                    _happen(at)
            assert await updates(5) == [f"0:{offset}" for offset in range(40, 45)]
            assert [len(frame) for frame in frames if isinstance(frame, list)] == ([30, 5] if batched else [])
            if batched:
                await socket.send(write([{"type": "ping"}, {"id": 7, "type": "ping"}]))
                assert [read(await socket.recv()), read(await socket.recv())] == [
                    {"type": "pong"},
                    {"id": 7, "type": "pong"},
                ]


def _happen(at: Served) -> None:
    """Commit a change to a task of the list."""
    update = task_update(at.node.world.next_position(0), TASK, LIST)
    at.node.hub.publish(at.node.world.commit(update))


@pytest.mark.parametrize("origin", ["https://tasks.example", "SELF", None])
async def test_own_and_allowed_origins_may_connect(origin: str | None) -> None:
    """As may clients other than browsers."""
    async with served() as at:
        own = f"http://127.0.0.1:{at.port}" if origin == "SELF" else origin
        async with connect(at.url, origin=Origin(own) if own else None) as socket:
            await socket.send('{"type":"ping"}')
            assert (await receive(socket))["type"] == "pong"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://["])
async def test_other_origins_are_refused(origin: str) -> None:
    """Other sites cannot use a visitor's network position."""
    async with served() as at:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(at.url, origin=Origin(origin)):
                pass
        assert refused.value.response.status_code == 403


async def test_refused_handshake_is_not_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """Anyone can cause one."""
    async with served() as at:
        with pytest.raises(InvalidStatus):
            async with connect(at.url, origin=Origin("https://evil.example")):
                pass
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []


@pytest.mark.parametrize("frame", ["{", "[]", b"{}", "x" * 70_000])
async def test_bad_frame_closes_the_socket(frame: str | bytes) -> None:
    """With a reason."""
    async with served() as at, connect(at.url) as socket:
        await socket.send(frame)
        messages, code = await ending(socket)
        assert code == 4501
        assert [(each["type"], each["code"]) for each in messages] == [("error", "malformed")]


async def test_huge_frame_is_not_buffered() -> None:
    """The server stops reading it."""
    async with served() as at, connect(at.url) as socket:
        await socket.send("x" * 1_000_000)
        _, code = await ending(socket)
        assert code == 1009


async def test_socket_that_does_not_authenticate_is_closed() -> None:
    """Even if it sends other messages."""
    async with served(authentication_s=0.2) as at, connect(at.url) as socket:
        await socket.send('{"type":"ping"}')
        messages, code = await ending(socket)
        assert code == 4502
        assert messages[-1]["type"] == "error"


async def test_invalid_token_closes_the_socket_for_good() -> None:
    """After the error reply."""
    async with served() as at, connect(at.url) as socket:
        await socket.send('{"id":9,"type":"authenticate","token":"bad"}')
        messages, code = await ending(socket)
        assert code == 4500
        assert [(each["id"], each["code"]) for each in messages] == [(9, "unauthenticated")]


async def test_silent_peer_is_closed_and_a_responding_one_is_not() -> None:
    """Any frame counts as a response."""
    async with served(ping_s=0.1) as at, signed_in(at) as silent, signed_in(at) as alive:

        async def answer() -> None:
            while True:
                await receive(alive)
                await alive.send('{"type":"pong"}')

        answering = asyncio.create_task(answer())
        messages, code = await ending(silent)
        assert code == 4012
        assert {each["type"] for each in messages} == {"ping", "goodbye"}
        assert not answering.done()
        answering.cancel()


async def test_peer_that_never_reads_is_closed_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """4008, within a bound, while another one gets every update; its connection is not kept."""
    monkeypatch.setattr(server_protocol, "CLOSE_TIMEOUT_S", 0.2)
    async with served() as at, signed_in(at) as good:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port, limit=1024)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(masked(b'{"type":"authenticate","token":"ann"}'))
        await eventually(lambda: len(at.node.hub.subscribers.users.get("ann", ())) == 2)
        for offset in range(UPDATES):
            update = task_update(Position(0, offset), TASK, LIST)
            padded = replace(update, value=update.value[:-1] + b',"x":"%s"}' % (b"x" * 2_000))
            at.node.world.updates.append(padded)
            at.node.hub.publish(padded)
            if offset % 50 == 49:  # at the pace of one that reads
                assert [(await receive(good))["type"] for _ in range(50)] == ["update"] * 50
        await eventually(lambda: len(at.sockets) == 1)
        await eventually(lambda: len(at.server.server_state.connections) == 1)
        assert len(at.node.hub.subscribers.users["ann"]) == 1
        writer.transport.abort()


def masked(payload: bytes) -> bytes:
    """Return a text frame as clients send them, with a mask of zeros."""
    assert len(payload) < 126
    return bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload


async def test_draining_closes_every_socket_with_goodbye() -> None:
    """A stopping node waits until its sockets are closed."""
    async with served() as at, signed_in(at) as one, connect(at.url) as other:
        await eventually(lambda: len(at.sockets) == 2)
        await at.sockets.connection_registry.drain()
        assert len(at.sockets) == 0
        for socket in (one, other):
            messages, code = await ending(socket)
            assert code == 4001
            assert messages[-1] == {
                "type": "goodbye",
                "code": 4001,
                "reason": "restarting",
                "retry_after_ms": [0, 8000],
            }
        async with connect(at.url) as late:
            assert (await ending(late))[1] == 4001


async def test_a_thousand_short_connections_leave_nothing_behind() -> None:
    """No task, no subscriber, no connection."""
    async with served() as at:
        before = len(asyncio.all_tasks())

        async def visit(number: int) -> None:
            async with connect(at.url) as socket:
                if number % 3:
                    await socket.send('{"type":"authenticate","token":"ann"}')
                    await receive(socket)
                if number % 2:
                    socket.transport.abort()

        for start in range(0, 1_000, 50):
            await asyncio.gather(*(visit(number) for number in range(start, start + 50)))
        await eventually(lambda: not at.server.server_state.connections)
        await eventually(lambda: len(at.sockets) == 0)
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
        assert not at.node.hub.subscribers.users
        assert not at.node.hub.subscribers.channels
