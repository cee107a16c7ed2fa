"""Socket.IO over a real server, by the bytes of its protocol: deadlines, bounds, and closing."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from api.protocol.frames import EncodedMessage, MessageBatch
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.rate_limits import ConnectionLimits, RateLimits
from api.transports.socket_io import client as socketio_client
from api.transports.socket_io.packets import PACKET, HistoryFilter, event_packet
from api.transports.socket_io.server import SocketIo, socketio_route
from api.transports.websocket import server_protocol
from api.transports.websocket.endpoint import LiveSockets
from app.log.updates import Update
from tests.api.relay_world import NOW, Node, World, list_update, task_update
from tests.api.serving import serving
from tests.waiting import LIMIT_S, eventually

LIST, OTHER = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"
TASK, SECRET = "00000000-0000-7000-8000-000000000011", "00000000-0000-7000-8000-000000000012"
QUERY = "/socket.io/?EIO=4&transport="


@dataclass
class Served:
    """A node served at a port."""

    node: Node
    connection_registry: ConnectionRegistry
    relay: Relay
    socketio: SocketIo
    server: uvicorn.Server
    port: int
    now: list[float]

    def commit(self, count: int = 1, *, padding: int = 0) -> None:
        """Commit changes to Ann's task."""
        for _ in range(count):
            update = task_update(self.node.world.next_position(0), TASK, LIST)
            self.publish(replace(update, value=update.value[:-1] + b',"x":"%s"}' % (b"x" * padding)))

    def publish(self, update: Update) -> None:
        """Write an update and publish it."""
        self.node.world.commit(update)
        self.node.hub.publish(update)


@asynccontextmanager
async def served(*, shares_port: bool = False, **timing: Any) -> AsyncIterator[Served]:
    """Serve a world with a list of Ann's, with shorter deadlines than the product's."""
    world = World(1)
    world.members = {LIST: {"ann"}, OTHER: {"bob"}}
    world.task_lists = {TASK: LIST, SECRET: OTHER}
    node = Node(world)
    now = [NOW]
    connection_registry = ConnectionRegistry()
    relay = replace(node.relay, now=lambda: now[0], **timing)
    origins = ["https://tasks.example"]
    socketio = SocketIo(
        relay, origins=origins, connection_registry=connection_registry, shares_port=shares_port
    )
    sockets = LiveSockets(relay, origins=origins, connection_registry=connection_registry)
    app = Starlette(routes=[sockets.route(), socketio_route()])
    app.state.live = SimpleNamespace(socketio=socketio)
    try:
        async with serving(app, connection_registry) as (server, port):
            yield Served(node, connection_registry, relay, socketio, server, port, now)
    finally:
        await socketio.stop()


class Client:
    """A client over a WebSocket that has joined the default namespace."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def emit(self, name: str, *arguments: Any, ack: int | None = None) -> None:
        """Send an event."""
        number = "" if ack is None else str(ack)
        await self.socket.send(f"42{number}{json.dumps([name, *arguments])}")

    async def packet(self) -> str:
        """Return the next packet other than pings, which are answered."""
        while True:
            packet = await asyncio.wait_for(self.socket.recv(), LIMIT_S)
            assert isinstance(packet, str)
            if packet != "2":
                return packet
            await self.socket.send("3")

    async def receive(self) -> tuple[str, Any]:
        """Return the next event and its argument."""
        packet = await self.packet()
        assert packet.startswith("42"), packet
        name, argument = json.loads(packet[2:])
        return name, argument

    async def ask(self, name: str, *arguments: Any) -> Any:
        """Send an event and return its acknowledgement."""
        await self.emit(name, *arguments, ack=7)
        while not (packet := await self.packet()).startswith("437"):
            pass
        return json.loads(packet[3:])[0]

    async def ending(self) -> tuple[list[str], int | None]:
        """Return the remaining packets and the close code."""
        packets = []
        try:
            while True:
                packets.append(await self.packet())
        except ConnectionClosed as closed:
            return packets, closed.rcvd.code if closed.rcvd else None


@asynccontextmanager
async def opened(at: Served, auth: Any = None, **options: Any) -> AsyncIterator[Client]:
    """Return a client that has not authenticated, unless by the handshake."""
    async with connect(f"ws://127.0.0.1:{at.port}{QUERY}websocket", max_size=None, **options) as socket:
        hello = json.loads(str(await socket.recv())[1:])
        assert hello["upgrades"] == []
        await socket.send("40" if auth is None else f"40{json.dumps(auth)}")
        client = Client(socket)
        assert (await client.packet()).startswith('40{"sid"')
        yield client


@asynccontextmanager
async def signed_in(at: Served, user: str = "ann") -> AsyncIterator[Client]:
    """Return an authenticated client."""
    async with opened(at) as client:
        await client.emit("authenticate", {"userId": user, "token": user})
        name, hello = await client.receive()
        assert (name, hello["userId"]) == ("authenticated", user)
        yield client


async def test_client_gets_the_updates_of_its_session() -> None:
    """As `task:update`; it is counted as connected."""
    async with served() as at, signed_in(at) as client:
        assert [(each.transport, each.user) for each in at.connection_registry] == [("socketio", "ann")]
        assert (await client.ask("subscribe:task", TASK))["channel"] == f"task:{TASK}"
        at.commit()
        name, update = await client.receive()
        assert (name, update["channel"], update["position"]) == ("task:update", f"list:{LIST}", "0:0")
        assert (await client.ask("subscribe:task", SECRET))["code"] == "not_found"


def test_update_begins_with_the_seeds_event_fields() -> None:
    """Under the names that the seed's frontends read, next to our message."""
    event = {"stream": f"task:{TASK}", "type": "task.completed", "actor": "ann", "time": "t"}
    message = {"channel": "c", "type": "update", "position": "0:1", "event": event, "task": {"id": TASK}}
    packet = EncodedMessage(json.dumps(message).encode()).form(PACKET)
    got = {"type": "task.completed", "taskId": TASK, "userId": "ann", "timestamp": "t"}
    assert json.loads(packet[1:]) == ["task:update", message | got]


@pytest.mark.parametrize(
    ("stream", "name"), [("list:x", "list:update"), ("user:ann", "user:update"), ("task:x", "task:update")]
)
def test_updates_are_named_by_their_stream(stream: str, name: str) -> None:
    """A frontend that knows only tasks ignores the others."""
    message = {"type": "update", "event": {"stream": stream}, "task": None}
    assert json.loads(EncodedMessage(json.dumps(message).encode()).form(PACKET)[1:])[0] == name


def test_packet_is_encoded_once_for_all_clients() -> None:
    """As are frames."""
    one = EncodedMessage(b'{"type":"update","event":{}}')
    assert one.form(PACKET) is one.form(PACKET)
    assert list(MessageBatch([one, one]).forms(PACKET))[1] is one.form(PACKET)


def test_history_of_a_joined_list_is_left_out() -> None:
    """The update of the joining itself is sent."""
    newest = HistoryFilter()
    past = event_packet("task:update", {})
    got = [
        *(newest.wants(packet) for packet in (past, event_packet("subscribed", {"missed": 3}))),
        *(newest.wants(packet) for packet in (past, past, event_packet("list:update", {}), past)),
        *(newest.wants(packet) for packet in (event_packet("subscribed", {"missed": 0}), past)),
    ]
    assert got == [True, True, False, False, True, True, True, True]


async def test_joined_list_is_announced() -> None:
    """From then on its updates are sent."""
    async with served() as at, signed_in(at) as client:
        for _ in range(3):
            at.publish(task_update(at.node.world.next_position(0), SECRET, OTHER))
        at.node.world.members[OTHER].add("ann")
        at.publish(list_update(at.node.world.next_position(0), OTHER, {"bob"}, {"ann", "bob"}))
        at.publish(task_update(at.node.world.next_position(0), SECRET, OTHER))
        messages = [await client.receive() for _ in range(3)]
        assert [name for name, _ in messages] == ["subscribed", "task:update", "task:update"]
        assert [each["position"] for _, each in messages[1:]] == ["0:3", "0:4"]


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


async def test_requests_before_the_authentication_reply_are_queued() -> None:
    """Frontends emit both at once: they are handled in order, however long it takes."""
    async with served() as at, opened(at) as client:
        at.node.world.query_ticks = 20
        await client.emit("authenticate", {"userId": "ann", "token": "ann"})
        await client.emit("subscribe:task", TASK, ack=7)
        assert (await client.receive())[0] == "authenticated"
        packet = await client.packet()
        assert packet.startswith("437"), packet
        assert json.loads(packet[3:])[0]["type"] == "subscribed"


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


async def test_draining_disconnects_everyone() -> None:
    """Also clients that have not authenticated, or joined no namespace."""
    url = f"{QUERY}websocket"
    async with served() as at:
        bare = await connect(f"ws://127.0.0.1:{at.port}{url}")
        async with signed_in(at) as one, opened(at) as other:
            await eventually(lambda: len(at.connection_registry) == 3)
            await at.connection_registry.drain()
            assert len(at.connection_registry) == 0
            for client in (one, other):
                packets, code = await client.ending()
                assert json.loads(packets[0][2:]) == [
                    "goodbye",
                    {"type": "goodbye", "code": 4001, "reason": "restarting", "retry_after_ms": [0, 8000]},
                ]
                assert code == 4001
        assert (await Client(bare).ending())[1] == 4001
        async with connect(f"ws://127.0.0.1:{at.port}{url}") as late:
            assert (await Client(late).ending())[1] == 4001


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


async def test_clients_are_counted() -> None:
    """Open, sent, received, and the reasons for closing."""
    async with served(ping_s=0.05) as at:
        traffic = at.relay.counters.traffic_of("socketio", "json")
        async with signed_in(at) as client:
            at.commit(3)
            for _ in range(3):
                await client.receive()
            assert (traffic.open, traffic.messages) == (1, 4)
            assert traffic.received == 1
            assert traffic.size_bytes > 400
            at.now[0] += 3600
            await client.ending()
        assert traffic.open == 0
        assert at.relay.counters.closes["4005", "server"] == 1


async def test_node_without_positions_invites_to_reconnect() -> None:
    """It does not know yet where updates begin."""
    async with served() as at:
        at.node.hub.published.partitions = 0
        async with opened(at, {"token": "ann"}) as client:
            assert (await client.ending())[1] == 4001


async def test_polling_alone_works() -> None:
    """Updates wait for the next poll."""
    async with (
        served() as at,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client,
    ):
        session = json.loads((await client.get(f"{QUERY}polling")).text[1:])["sid"]
        url = f"{QUERY}polling&sid={session}"
        assert (await client.post(url, content="40" + json.dumps({"token": "ann"}))).text == "OK"
        messages = ""
        while "authenticated" not in messages:
            messages += (await client.get(url)).text
        at.commit(600)
        packets: list[str] = []
        while len(packets) < 600:
            packets += (await client.get(url)).text.split("\x1e")
        assert all(packet.startswith('42["task:update"') for packet in packets)
        positions = [json.loads(packet[2:])[1]["position"] for packet in packets]
        assert positions == [f"0:{offset}" for offset in range(600)]
        await client.post(url, content="1")
        await eventually(lambda: len(at.connection_registry) == 0)
        for answer in (await client.get(url), await client.post(url, content="2")):
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
            assert "connect again" in answer.json()["detail"]


async def test_request_at_the_end_of_a_session_is_answered() -> None:
    """As if the session had ended before."""
    async with (
        served() as at,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client,
    ):
        session = json.loads((await client.get(f"{QUERY}polling")).text[1:])["sid"]

        async def slowly() -> AsyncIterator[bytes]:
            await at.connection_registry.drain()
            yield b"40"

        url, size = f"{QUERY}polling&sid={session}", {"Content-Length": "2"}
        answer = await client.post(url, content=slowly(), headers=size)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize("garbage", ["0", "6", "x" * 70_000])
async def test_garbage_over_polling_leaves_nothing_behind(garbage: str) -> None:
    """It is answered, although nobody fetches that client's rest."""
    async with (
        served(ping_s=0.1) as at,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client,
    ):
        await client.get("/")
        before = len(asyncio.all_tasks())
        session = json.loads((await client.get(f"{QUERY}polling")).text[1:])["sid"]
        answer = await client.post(f"{QUERY}polling&sid={session}", content=garbage)
        assert answer.status_code == 400
        assert len(at.connection_registry) == 0
        await eventually(lambda: len(asyncio.all_tasks()) <= before + 2)  # those that look after all


async def test_polling_is_refused_where_processes_share_a_port() -> None:
    """Requests of one client would reach several processes; sockets are not affected."""
    async with served(shares_port=True) as at, signed_in(at):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client:
            answer = await client.get(f"{QUERY}polling")
            assert answer.status_code == 400
            assert 'transports: ["websocket"]' in answer.json()["detail"]
        assert len(at.connection_registry) == 1


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
