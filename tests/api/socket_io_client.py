"""A Socket.IO server on a world in memory, and a client of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.transports.socket_io.server import SocketIo, socketio_route
from api.transports.websocket.endpoint import LiveSockets
from app.log.updates import Update
from tests.api.relay_world import NOW, Node, World, task_update
from tests.api.serving import serving
from tests.waiting import LIMIT_S

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
