"""Hostile or broken clients: each gets the right code, costs little, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from api.protocol.limits import MAX_MESSAGE_BYTES
from api.relay.rate_limits import ConnectionLimits, RateLimits
from api.transports.websocket import server_protocol, socket_writer
from api.transports.websocket import uvicorn_protocol as http_protocol
from api.transports.websocket.connection import SocketConnection
from app.positions import Position
from tests.api.relay.test_hub_sockets import LIST, TASK, Served, served
from tests.api.relay_world import task_update
from tests.thoroughness import examples
from tests.waiting import eventually

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
AUTHENTICATE = b'{"id":1,"type":"authenticate","token":"ann"}'
LIMIT_S = 30


def framed(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """Return a frame, valid or invalid as requested."""
    size = len(payload)
    first = opcode | (0x80 if fin else 0) | rsv
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((first, mask_bit | size))
    elif size < 65_536:
        head = bytes((first, mask_bit | 126)) + struct.pack("!H", size)
    else:
        head = bytes((first, mask_bit | 127)) + struct.pack("!Q", size)
    return head + (bytes(4) if masked else b"") + payload  # a mask of zeros changes nothing


@dataclass
class Raw:
    """TCP connection to a server, after the handshake if there was one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        """Write if the connection is still open."""
        if not self.writer.is_closing():
            self.writer.write(data)

    async def frame(self) -> tuple[int, bytes]:
        """Return the next frame of the server. Raise `IncompleteReadError` at the end."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def code(self) -> int | None:
        """Read up to the end and return the close code."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    opcode, payload = await self.frame()
                    if opcode == CLOSE:
                        return int.from_bytes(payload[:2])
        except (asyncio.IncompleteReadError, ConnectionError):
            return None


@asynccontextmanager
async def raw(at: Served, *, handshake: bool = True) -> AsyncIterator[Raw]:
    """Connect, with a valid handshake."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    client = Raw(reader, writer)
    try:
        if handshake:
            client.send(HANDSHAKE)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        yield client
    finally:
        writer.transport.abort()


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(framed(TEXT, b"{"), 4501, id="broken JSON"),
        pytest.param(framed(TEXT, b"[]"), 4501, id="no object"),
        pytest.param(framed(TEXT, b"[" * 5_000), 4501, id="deep"),
        pytest.param(framed(BINARY, b"{}"), 4501, id="binary"),
        pytest.param(framed(TEXT, b"\xff\xfe"), 1007, id="no UTF-8"),
        pytest.param(framed(TEXT, b"{}", masked=False), 1002, id="no mask"),
        pytest.param(framed(0x3, b""), 1002, id="unknown opcode"),
        pytest.param(framed(0x0, b"x"), 1002, id="continues nothing"),
        pytest.param(framed(TEXT, b"{}", rsv=0x40), 1002, id="compressed though not agreed"),
        pytest.param(framed(PING, b"x" * 126), 1002, id="long ping"),
        pytest.param(framed(PING, b"x", fin=False), 1002, id="ping in parts"),
        pytest.param(framed(CLOSE, b"\x00"), 1002, id="half a code"),
        pytest.param(framed(TEXT, b"x" * (MAX_MESSAGE_BYTES + 1)), 4501, id="too long"),
        pytest.param(framed(TEXT, b"x" * (2 * MAX_MESSAGE_BYTES + 1)), 1009, id="far too long"),
        pytest.param(
            framed(TEXT, b"x" * 60_000, fin=False) + framed(0x0, b"x" * 60_000, fin=False) * 3,
            1009,
            id="far too long in parts",
        ),
        pytest.param(bytes((0x81, 0xFF)) + struct.pack("!Q", 2**62), 1009, id="a length of exabytes"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n" * 10, 1002, id="HTTP"),
    ],
)
async def test_invalid_frames_close_the_socket_with_their_code(sent: bytes, code: int) -> None:
    """Before authentication as after it."""
    async with served() as at:
        for hello in (b"", framed(TEXT, AUTHENTICATE)):
            async with raw(at) as client:
                client.send(hello + sent)
                assert await client.code() == code
        await eventually(lambda: len(at.sockets) == 0)


async def test_flood_of_messages_is_refused_then_closed() -> None:
    """Each is answered up to a limit; other sockets of the node are not affected."""
    async with served(rates=RateLimits(1, 10, 1_000, 1_000)) as at, raw(at) as good, raw(at) as client:
        client.send(framed(TEXT, b'{"type":"ping"}') * 500)
        kinds = []
        async with asyncio.timeout(LIMIT_S):
            while (received := await client.frame())[0] == TEXT:
                kinds.append(json.loads(received[1]))
        assert int.from_bytes(received[1][:2]) == 4013
        assert [each["type"] for each in kinds[:10]] == ["pong"] * 10
        assert {each.get("code") for each in kinds[10:-1]} == {"rate"}
        assert kinds[-1]["type"] == "goodbye"
        good.send(framed(TEXT, b'{"type":"ping"}'))
        assert await good.frame() == (TEXT, b'{"type":"pong"}')


async def test_sockets_of_a_user_share_a_rate() -> None:
    """More sockets allow no more messages."""
    async with served(rates=RateLimits(1_000, 1_000, 1, 10)) as at, raw(at) as one, raw(at) as other:
        for client in (one, other):
            client.send(framed(TEXT, AUTHENTICATE))
            assert json.loads((await client.frame())[1])["type"] == "authenticated"
        one.send(framed(TEXT, b'{"type":"ping"}') * 10)
        for _ in range(10):
            await one.frame()
        other.send(framed(TEXT, b'{"type":"ping"}'))
        assert json.loads((await other.frame())[1])["code"] == "rate"


async def test_flood_of_pings_is_closed_too() -> None:
    """Pings of WebSockets count as messages."""
    async with served(rates=RateLimits(1, 10, 1_000, 1_000)) as at, raw(at) as client:
        client.send(framed(PING, b"x"))
        assert await client.frame() == (PONG, b"x")
        client.send(framed(PING, b"x") * 500)
        assert await client.code() == 4013


async def test_unread_pongs_cost_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait up to a bound."""
    monkeypatch.setattr(socket_writer, "MAX_WAITING_BYTES", 200_000)
    monkeypatch.setattr(server_protocol, "CLOSE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(socket_writer, "SLOW_S", 60.0)
    async with served(rates=RateLimits(10**9, 10**9, 10**9, 10**9)) as at, raw(at) as client:
        await eventually(lambda: len(at.sockets) == 1)
        [connection] = at.sockets.connection_registry
        most, pings = 0, framed(PING, b"x" * 125) * 100
        async with asyncio.timeout(LIMIT_S):
            while len(at.sockets):
                client.send(pings)
                await asyncio.sleep(0)
                most = max(most, connection.waiting_bytes)
        assert most < 400_000


async def test_peer_that_reads_too_slowly_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if little is waiting."""
    monkeypatch.setattr(socket_writer, "SLOW_S", 0.2)
    monkeypatch.setattr(server_protocol, "CLOSE_TIMEOUT_S", 0.2)
    async with served() as at, raw(at) as client:
        client.send(framed(TEXT, AUTHENTICATE))
        await eventually(lambda: len(at.node.hub.subscribers.users.get("ann", ())) == 1)
        offset = 0
        async with asyncio.timeout(LIMIT_S):
            while len(at.sockets):
                update = task_update(Position(0, offset), TASK, LIST)
                at.node.world.updates.append(update)
                at.node.hub.publish(update)
                offset += 1
                if offset % 100 == 0:
                    await asyncio.sleep(0)
        assert at.node.relay.counters.closes["4008", "server"] == 1


@pytest.mark.parametrize("sent", [b"", b"GET", HANDSHAKE[:60], b"\x16\x03\x01\x02\x00", HANDSHAKE[:-2]])
async def test_incomplete_handshake_times_out(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S", 0.2)
    async with served() as at, raw(at, handshake=False) as client:
        client.send(sent)
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.reader.readexactly(10_000)
        await eventually(lambda: not at.server.server_state.connections)


async def test_endless_header_is_refused() -> None:
    """It is not kept in memory."""
    async with served() as at, raw(at, handshake=False) as client:
        client.send(HANDSHAKE[:-2] + b"X-Pad: " + b"x" * 200_000)
        async with asyncio.timeout(LIMIT_S):
            assert (await client.reader.readline()).startswith(b"HTTP/1.1 400")


async def test_connections_per_user_are_bounded() -> None:
    """One more gets the reason; a closed one makes room."""
    async with served(quotas=ConnectionLimits(per_user=2, per_address=0)) as at:
        async with raw(at) as one, raw(at) as other:
            for client in (one, other):
                client.send(framed(TEXT, AUTHENTICATE))
                assert json.loads((await client.frame())[1])["type"] == "authenticated"
            async with raw(at) as third:
                third.send(framed(TEXT, AUTHENTICATE))
                assert await third.code() == 4504
        await eventually(lambda: len(at.sockets) == 0)
        async with raw(at) as again:
            again.send(framed(TEXT, AUTHENTICATE))
            assert json.loads((await again.frame())[1])["type"] == "authenticated"


async def test_connections_per_address_are_bounded() -> None:
    """Those above are refused before the handshake."""
    async with served(quotas=ConnectionLimits(per_user=0, per_address=2)) as at, raw(at), raw(at):
        async with raw(at, handshake=False) as third:
            third.send(HANDSHAKE)
            assert (await third.reader.readline()).startswith(b"HTTP/1.1 429")
        assert at.node.relay.counters.limited["address_connections"] == 1


Way = Callable[[Raw], Awaitable[Any]]


async def _send_nonsense(client: Raw) -> None:
    client.send(random.Random(os.getpid()).randbytes(300))
    await client.code()


async def _leave_in_the_middle(client: Raw) -> None:
    client.send(framed(TEXT, AUTHENTICATE)[:20])


async def _authenticate_and_vanish(client: Raw) -> None:
    client.send(framed(TEXT, AUTHENTICATE))
    await client.frame()


async def _authenticate_and_disconnect(client: Raw) -> None:
    client.send(framed(TEXT, AUTHENTICATE) + framed(TEXT, b'{"type":"subscribe","channel":"user:ann"}') * 20)


async def _send_much(client: Raw) -> None:
    client.send(framed(TEXT, b"x" * (2 * MAX_MESSAGE_BYTES + 1)))
    await client.code()


async def _close_properly(client: Raw) -> None:
    client.send(framed(CLOSE, b"\x03\xe8"))
    await client.code()


async def _flood(client: Raw) -> None:
    client.send(framed(TEXT, b'{"type":"ping"}') * 400)
    await client.code()


WAYS: tuple[Way, ...] = (
    _send_nonsense,
    _leave_in_the_middle,
    _authenticate_and_vanish,
    _authenticate_and_disconnect,
    _send_much,
    _close_properly,
    _flood,
)
VISITS, AT_ONCE, WARM_UP = examples(2_000), 50, 500
MOST_GROWTH_BYTES = 12 * 1024 * 1024


async def test_thousands_of_hostile_clients_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """No task, connection, subscriber or quota entry, and hardly any memory."""
    monkeypatch.setattr(server_protocol, "CLOSE_TIMEOUT_S", 0.2)
    process = psutil.Process()
    async with served(quotas=ConnectionLimits(per_user=1_000, per_address=1_000)) as at:
        tasks = len(asyncio.all_tasks())

        async def visit(number: int) -> None:
            async with raw(at, handshake=number % 10 != 0) as client:
                way = WAYS[number % len(WAYS)]
                if number % 10:
                    await way(client)
                else:
                    client.send(HANDSHAKE[: number % len(HANDSHAKE)])

        async def visits(first: int, end: int) -> int:
            for start in range(first, end, AT_ONCE):
                await asyncio.gather(*(visit(number) for number in range(start, start + AT_ONCE)))
            await eventually(lambda: not at.server.server_state.connections, LIMIT_S)
            await eventually(lambda: len(asyncio.all_tasks()) <= tasks, LIMIT_S)
            gc.collect()
            return int(process.memory_info().rss)

        before = await visits(0, WARM_UP)
        after = await visits(WARM_UP, VISITS)
        assert after - before < MOST_GROWTH_BYTES
        assert len(at.sockets) == 0
        assert not at.node.hub.subscribers.users
        assert not at.node.hub.subscribers.channels
        assert not any(isinstance(each, SocketConnection) for each in gc.get_objects())
        assert len(at.node.relay.quotas.users) == len(at.node.relay.quotas.addresses) == 0
        traffic = at.node.relay.counters.traffic_of("websocket", "json")
        assert traffic.opened > VISITS * 0.8
        assert traffic.open == 0
        assert at.node.hub.counters.subscriptions == 0
