"""The WebSocket endpoint `/ws`, and its access checks."""

from __future__ import annotations

from collections.abc import Collection

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from api.http.problems import deny
from api.protocol.client_messages import PACKED_SUBPROTOCOL, SUBPROTOCOLS
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.transports.connection_lifecycle import Admission, check_origin
from api.transports.websocket.asgi_wire import AsgiWire
from api.transports.websocket.connection import SocketConnection
from api.transports.websocket.wire import EXTENSION, Wire
from app.errors import Malformed, TaskError


class LiveSockets:
    """All sockets of this node, in the registry of connections of all transports."""

    def __init__(
        self, relay: Relay, *, origins: Collection[str], connection_registry: ConnectionRegistry | None = None
    ) -> None:
        self._relay = relay
        self._origins = frozenset(origins)
        self.connection_registry = (
            ConnectionRegistry() if connection_registry is None else connection_registry
        )

    def __len__(self) -> int:
        return len(self.connection_registry)

    def route(self) -> WebSocketRoute:
        """Return the route of the endpoint."""
        return WebSocketRoute("/ws", self.serve)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one socket from handshake to close."""
        try:
            check_origin(socket, self._origins)
            subprotocol = _chosen(socket.scope["subprotocols"])
            with Admission(self._relay, socket.scope):
                await self._serve_admitted(socket, subprotocol)
        except TaskError as refusal:
            await deny(socket, refusal)

    async def _serve_admitted(self, socket: WebSocket, subprotocol: str | None) -> None:
        await socket.accept(subprotocol=subprotocol)
        wire: Wire = socket.scope["extensions"].get(EXTENSION) or AsgiWire(socket)
        connection = SocketConnection(wire, self._relay, packed=subprotocol == PACKED_SUBPROTOCOL)
        with self.connection_registry.present(connection):
            try:
                await wire.ended()
            finally:
                connection.close(None)


def _chosen(offered: Collection[str]) -> str | None:
    """Return the first offered subprotocol that is ours; None if none is offered. Raise `Malformed`."""
    chosen = next((each for each in offered if each in SUBPROTOCOLS), None)
    if offered and chosen is None:
        raise Malformed(f"the subprotocol to offer is {' or '.join(SUBPROTOCOLS)}")
    return chosen
