"""Socket.IO clients that are refused or disconnected: origins, tokens, packets, floods."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from api.relay.rate_limits import ConnectionLimits, RateLimits
from api.transports.socket_io import client as socketio_client
from api.transports.websocket import server_protocol
from tests.api.socket_io_client import QUERY, TASK, Client, opened, served, signed_in
from tests.waiting import eventually


@pytest.mark.parametrize("origin", ["https://tasks.example", "SELF", None])
async def test_own_and_allowed_origins_may_connect(origin: str | None) -> None:
    """By either transport."""
    async with served() as at:
        own = f"http://127.0.0.1:{at.port}" if origin == "SELF" else origin
        async with opened(at, origin=Origin(own) if own else None):
            pass
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client:
            answer = await client.get(f"{QUERY}polling", headers={"Origin": own} if own else {})
            assert answer.status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://["])
async def test_other_origins_are_refused(origin: str) -> None:
    """By either transport."""
    async with served() as at:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(at, origin=Origin(origin)):
                pass
        assert refused.value.response.status_code == 403
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client:
            answer = await client.get(f"{QUERY}polling", headers={"Origin": origin})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_client_that_does_not_authenticate_is_disconnected() -> None:
    """For good, after an error."""
    async with served(authentication_s=0.2) as at, opened(at) as client:
        packets, code = await client.ending()
        assert [packet[:10] for packet in packets[:2]] == ['42["error"', "41"]
        assert code == 4502
        await eventually(lambda: len(at.connection_registry) == 0)


async def test_connection_that_joins_no_namespace_is_closed() -> None:
    """It is no client yet."""
    async with served(authentication_s=0.2) as at:
        async with connect(f"ws://127.0.0.1:{at.port}{QUERY}websocket") as socket:
            assert (await Client(socket).ending())[1] == 4502
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client:
            session = json.loads((await client.get(f"{QUERY}polling")).text[1:])["sid"]
            poll = await client.get(f"{QUERY}polling&sid={session}")
            assert (poll.status_code, poll.text) in {(200, "1"), (400, '"Invalid session ' + session + '"')}
        await eventually(lambda: len(at.connection_registry) == 0)


async def test_expired_token_ends_the_connection() -> None:
    """The client is invited to reconnect."""
    async with served(ping_s=1) as at, signed_in(at) as client:
        at.now[0] += 3600
        packets, code = await client.ending()
        assert json.loads(packets[0][2:])[1]["code"] == 4005
        assert (packets[1:], code) == (["1"], 4005)
        await eventually(lambda: not at.node.hub.subscribers.users)


async def test_invalid_packets_do_no_harm() -> None:
    """Neither garbage, nor endless attachments."""
    async with served() as at, signed_in(at) as other, signed_in(at) as client:
        for garbage in ("4", "4x", "42", "42[", "42{}", "42[]", '451-["x"]', '4599-["x",{}]', "9"):
            await client.socket.send(garbage)
        for _ in range(3):
            await client.emit("no such event", {"a": 1})
            await client.emit("authenticate")
            assert (await client.receive())[1]["code"] == "malformed"
        at.commit()
        for each in (client, other):
            assert (await each.receive())[0] == "task:update"


@pytest.mark.parametrize("name", ["connect", "disconnect"])
@pytest.mark.parametrize("arguments", [[], [{}], ["x", "y"]])
async def test_reserved_events_are_ignored(
    name: str, arguments: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A client that sends one is neither authenticated nor removed by it, nor does it fill the log."""
    async with served() as at, signed_in(at) as client:
        await client.emit(name, *arguments)
        assert (await client.ask("subscribe:task", TASK))["type"] == "subscribed"
        assert len(at.connection_registry) == 1
    gc.collect()
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


@pytest.mark.parametrize("garbage", ["x", "", b"", b"\xff" * 100])
async def test_invalid_engine_io_ends_the_connection(garbage: str | bytes) -> None:
    """With its close code, and nothing is left behind."""
    async with served() as at:
        async with signed_in(at) as client:
            await client.socket.send(garbage)
            await client.socket.send("x")
            assert (await client.ending())[1] in {4501, 1000}
        await eventually(lambda: len(at.connection_registry) == 0)
        assert not at.node.hub.subscribers.users


async def test_huge_packet_ends_the_connection() -> None:
    """It is not buffered."""
    async with served() as at, signed_in(at) as client:
        await client.socket.send("4" + "x" * 1_000_000)
        await client.ending()
        await eventually(lambda: len(at.connection_registry) == 0)


async def test_connection_has_one_client() -> None:
    """A second join is refused, and the first stays."""
    async with served() as at, signed_in(at) as client:
        await client.socket.send("40")
        assert (await client.packet()).startswith("44")
        at.commit()
        assert (await client.receive())[0] == "task:update"


async def test_too_many_pending_requests_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of waiting without end."""
    monkeypatch.setattr(socketio_client, "MAX_COMMANDS_AHEAD", 3)
    async with served() as at, signed_in(at) as client:
        at.node.world.query_ticks = 100
        for number in range(10):
            await client.emit("subscribe:task", TASK, ack=number)
        acks, refused = 0, 0
        while acks < 10:
            packet = await client.packet()
            acks += packet.startswith("43")
            refused += packet.startswith("43") and '"too_many"' in packet
        assert 0 < refused < 10


async def test_flood_is_refused_then_disconnected() -> None:
    """Also one of invalid packets; a client within the rate is not."""
    async with served(rates=RateLimits(1.0, 5, 1.0, 5)) as at, signed_in(at) as client:
        for number in range(200):
            await client.socket.send("42[" if number % 2 else '42["x"]')
        packets, code = await client.ending()
        assert json.loads(packets[0][2:])[1]["code"] == "rate"
        assert code == 4013


async def test_connections_per_address_and_user_are_bounded() -> None:
    """One too many of an address is refused; one too many of a user is disconnected for good."""
    quotas = ConnectionLimits(per_user=1, per_address=2)
    async with served(quotas=quotas) as at:
        async with signed_in(at):
            async with opened(at, {"token": "ann"}) as second:
                packets, code = await second.ending()
                assert (packets, code) == (["41", "1"], 4504)
            async with signed_in(at, "bob"):
                with pytest.raises(InvalidStatus) as refused:
                    async with opened(at):
                        pass
                assert refused.value.response.status_code == 429
                async with httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{at.port}", trust_env=False
                ) as client:
                    answer = await client.get(f"{QUERY}polling")
                    assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
                    assert int(answer.headers["Retry-After"]) > 0
        assert at.relay.counters.limited["address_connections"] == 2
        await eventually(lambda: not len(quotas.addresses))
        assert not len(quotas.users)


async def test_client_that_never_reads_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """While another one gets every update; its connection is not kept."""
    monkeypatch.setattr("api.transports.socket_io.server.CLOSE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(server_protocol, "CLOSE_TIMEOUT_S", 0.2)
    async with served() as at, signed_in(at) as good:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port, limit=1024)
        writer.write(
            f"GET {QUERY}websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(masked(b'40{"token":"ann"}'))
        await eventually(lambda: len(at.node.hub.subscribers.users.get("ann", ())) == 2)
        largest = 0
        for _ in range(120):
            at.commit(50, padding=2_000)
            sizes = [client._send_queue.size for client in at.socketio._clients.values()]
            queues = [each.queue.qsize() for each in at.socketio._server.eio.sockets.values()]
            largest = max(largest, *sizes)
            assert max(queues) <= 2 * socketio_client.MAX_WRITTEN_PACKETS
            for _ in range(50):
                await good.receive()
        await eventually(lambda: len(at.connection_registry) == 1)
        await eventually(lambda: len(at.server.server_state.connections) == 1)
        assert len(at.node.hub.subscribers.users["ann"]) == 1
        assert largest < 5 * 1024 * 1024
        writer.transport.abort()


def masked(payload: bytes) -> bytes:
    """Return a text frame as clients send them, with a mask of zeros."""
    assert len(payload) < 126
    return bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload


async def test_hundreds_of_short_connections_leave_nothing_behind() -> None:
    """No task, no subscriber, no connection; the coming pings end with their period."""
    async with served(ping_s=1) as at:
        async with signed_in(at):
            before = len(asyncio.all_tasks())

        async def visit(number: int) -> None:
            async with opened(at, {"token": "ann"} if number % 3 else None) as client:
                if number % 5 == 0:
                    await client.socket.send("41")
                if number % 2:
                    client.socket.transport.abort()

        for start in range(0, 300, 30):
            await asyncio.gather(*(visit(number) for number in range(start, start + 30)))
        await eventually(lambda: not at.server.server_state.connections)
        await eventually(lambda: len(at.connection_registry) == 0)
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
        assert not at.node.hub.subscribers.users
        assert not at.node.hub.subscribers.channels
        assert not at.socketio._connections
        assert not at.socketio._clients
        assert not at.socketio._server.environ
