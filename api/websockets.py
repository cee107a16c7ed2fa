"""WebSockets at `/ws`: who may connect, and how all sockets of a node are sent away when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from urllib.parse import urlsplit

import anyio
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from api import protocol
from api.asgi_wire import AsgiWire
from api.connection import Connection
from api.session import Relay
from api.transport import EXTENSION, Wire

BATCH_EVERY_S = 0.1
GONE_S = 4.0
"""So long the last ones have to go."""


class LiveSockets:
    """All sockets of this node."""

    def __init__(self, relay: Relay, *, origins: Collection[str]) -> None:
        self._relay = relay
        self._origins = frozenset(origins)
        self._open: set[Connection] = set()
        self._draining = False
        self._left = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def route(self) -> WebSocketRoute:
        """The route that sockets come in by."""
        return WebSocketRoute("/ws", self.serve)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one socket from handshake to close."""
        if not origin_allowed(socket, self._origins):
            await _deny(socket, 403, "forbidden", "this origin may not connect; see CORS_ORIGIN")
            return
        offered = socket.scope["subprotocols"]
        chosen = next((each for each in offered if each in protocol.SUBPROTOCOLS), None)
        if offered and chosen is None:
            ours = " or ".join(protocol.SUBPROTOCOLS)
            await _deny(socket, 400, "malformed", f"the subprotocol to offer is {ours}")
            return
        await socket.accept(subprotocol=chosen)
        wire: Wire = socket.scope["extensions"].get(EXTENSION) or AsgiWire(socket)
        connection = Connection(wire, self._relay, packed=chosen == protocol.PACKED_SUBPROTOCOL)
        self._open.add(connection)
        try:
            if self._draining:
                connection.close(protocol.RESTARTING)
            await wire.ended()
        finally:
            connection.close(None)
            self._open.discard(connection)
            self._left.set()

    async def drain(self, over_s: float = 0.0) -> None:
        """Say goodbye to every socket, in batches over a time, and wait, bounded, until they are gone.

        New ones are sent away. So those that come back do not all come to the other nodes at once.
        """
        self._draining = True
        connections = list(self._open)
        batches = max(1, round(over_s / BATCH_EVERY_S))
        size = -(-len(connections) // batches) or 1
        for start in range(0, len(connections), size):
            if start:
                await asyncio.sleep(BATCH_EVERY_S)
            for connection in connections[start : start + size]:
                connection.close(protocol.RESTARTING)
        with anyio.move_on_after(GONE_S):
            while self._open.intersection(connections):
                self._left.clear()
                await self._left.wait()


def origin_allowed(connection: HTTPConnection, origins: Collection[str]) -> bool:
    """Whether a page of this origin may connect: one of ours, or one that is allowed by name.

    Browsers send `Origin` with every WebSocket handshake and apply no CORS to it; other clients send none.
    """
    origin = connection.headers.get("origin")
    if origin is None or "*" in origins or origin in origins:
        return True
    return urlsplit(origin).netloc == connection.headers.get("host")


async def _deny(socket: WebSocket, status: int, code: str, detail: str) -> None:
    """Answer a handshake with a problem instead of a socket."""
    problem = {"type": "about:blank", "title": detail, "status": status, "code": code, "detail": detail}
    response = JSONResponse(problem, status_code=status, media_type="application/problem+json")
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(response)
    else:
        await socket.close()
