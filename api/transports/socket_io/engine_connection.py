"""One Engine.IO connection: written to at the pace of its reader, and ended reliably."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from engineio.exceptions import EngineIOError
from socketio import AsyncServer
from starlette.types import Scope

from api.protocol.close_codes import CloseReason
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.telemetry.counters import Transport
from api.transports.connection_lifecycle import Admission
from api.transports.socket_io.client import SocketIoClient
from api.transports.websocket.wire import Wire


class EngineConnection:
    """One Engine.IO connection, and its client, once it is open."""

    transport: Transport = "socketio"

    def __init__(self, server: AsyncServer) -> None:
        self._server = server
        self._hanging_up: asyncio.Task[None] | None = None
        self._presence = ExitStack()
        self.engine_id = ""
        self.client_id = ""
        """Its id in the default namespace, once it has joined."""
        self.client: SocketIoClient | None = None
        self.wires: list[Wire] = []

    def open(self, engine_id: str, relay: Relay, registry: ConnectionRegistry, scope: Scope) -> None:
        """Admit and register a connection that Engine.IO has accepted. Raise `TooMany`."""
        self.engine_id = engine_id
        with ExitStack() as presence:
            presence.enter_context(Admission(relay, scope))
            self.client = SocketIoClient(relay, self)
            presence.enter_context(registry.present(self))
            self._presence = presence.pop_all()

    def gone(self) -> None:
        """Remove a connection that has ended."""
        self.close(None)
        self._presence.close()

    @property
    def user(self) -> str | None:
        """See `ClientConnection.user`."""
        return None if self.client is None else self.client.user

    @property
    def waiting_bytes(self) -> int:
        """See `ClientConnection.waiting_bytes`."""
        return 0 if self.client is None else self.client.waiting_bytes

    def close(self, close_reason: CloseReason | None) -> None:
        """See `ClientConnection.close`."""
        if self.client is not None:
            self.client.close(close_reason)
        else:
            self.hang_up(close_reason)

    async def write(self, packets: list[bytes]) -> None:
        """See `ClientTransport.write`. Wait until the network, or a poll, has accepted the packets."""
        engine = self._server.eio
        socket = engine.sockets.get(self.engine_id)
        if socket is None or not self.client_id:
            return
        try:
            for packet in packets:
                await engine.send(self.engine_id, packet.decode())
        except EngineIOError:
            return  # It is gone, which another callback reports.
        await socket.queue.join()

    async def dismiss(self) -> None:
        """See `ClientTransport.dismiss`."""
        if not self.client_id:
            return
        await self._server.disconnect(self.client_id)
        socket = self._server.eio.sockets.get(self.engine_id)
        if socket is not None:
            await socket.queue.join()

    def hang_up(self, close_reason: CloseReason | None) -> None:
        """See `ClientTransport.hang_up`."""
        if self._hanging_up is None:
            self._hanging_up = asyncio.get_running_loop().create_task(self._hang_up(close_reason))

    async def hung_up(self, close_reason: CloseReason) -> None:
        """End the connection, and wait for its end."""
        self.close(close_reason)
        self.hang_up(close_reason)
        if self._hanging_up is not None:
            await self._hanging_up

    async def _hang_up(self, close_reason: CloseReason | None) -> None:
        socket = self._server.eio.sockets.get(self.engine_id)
        await self._server.eio.disconnect(self.engine_id)
        if socket is not None:
            socket.queue.put_nowait(None)  # This ends the writing task.
        code, reason = (1000, "") if close_reason is None else (close_reason.code, close_reason.reason[:100])
        for wire in self.wires:
            # By default a server that hangs up waits for the client to do so, too.
            wire.finish(None, code, reason)
