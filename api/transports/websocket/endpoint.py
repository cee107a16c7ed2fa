"""The WebSocket endpoint `/ws`, and its access checks."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from api.http.problems import TooMany, deny
from api.protocol.client_messages import PACKED_SUBPROTOCOL, SUBPROTOCOLS
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.rate_limits import network_of
from api.transports.websocket.asgi_wire import AsgiWire
from api.transports.websocket.connection import Connection
from api.transports.websocket.wire import EXTENSION, Wire
from app.errors import Forbidden, Malformed

OTHER_ORIGIN = Forbidden("this origin may not connect; see CORS_ORIGIN")
TOO_MANY_FROM_ADDRESS = TooMany("there are too many connections from this address")


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
        if not origin_allowed(socket, self._origins):
            await deny(socket, OTHER_ORIGIN)
            return
        offered = socket.scope["subprotocols"]
        chosen = next((each for each in offered if each in SUBPROTOCOLS), None)
        if offered and chosen is None:
            ours = " or ".join(SUBPROTOCOLS)
            await deny(socket, Malformed(f"the subprotocol to offer is {ours}"))
            return
        address = network_of(socket.client.host if socket.client else "")
        if not self._relay.quotas.addresses.take(address):
            self._relay.counters.limited["address_connections"] += 1
            await deny(socket, TOO_MANY_FROM_ADDRESS)
            return
        try:
            await self._serve_accepted(socket, chosen)
        finally:
            self._relay.quotas.addresses.release(address)

    async def _serve_accepted(self, socket: WebSocket, chosen: str | None) -> None:
        await socket.accept(subprotocol=chosen)
        wire: Wire = socket.scope["extensions"].get(EXTENSION) or AsgiWire(socket)
        connection = Connection(wire, self._relay, packed=chosen == PACKED_SUBPROTOCOL)
        with self.connection_registry.present(connection):
            try:
                await wire.ended()
            finally:
                connection.close(None)


def origin_allowed(connection: HTTPConnection, origins: Collection[str]) -> bool:
    """Return True if a page of this origin may connect: our own, or one that is allowed by name.

    Browsers send `Origin` with every WebSocket handshake and do not apply CORS to it; other clients send
    none.
    """
    if "*" in origins or not any(name == b"origin" for name, _ in connection.scope["headers"]):
        return True
    origin = connection.headers["origin"]
    if origin in origins:
        return True
    try:
        return urlsplit(origin).netloc == connection.headers.get("host")
    except ValueError:
        return False  # It is not an address.
