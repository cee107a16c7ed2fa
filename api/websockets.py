"""WebSockets at `/ws`: who may connect, and how all sockets of a node are sent away when it stops."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

import anyio
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from api import protocol
from api.connection import Connection
from api.session import Relay

DRAIN_S = 4.0


class LiveSockets:
    """All sockets of this node."""

    def __init__(self, relay: Relay, *, origins: Collection[str]) -> None:
        self._relay = relay
        self._origins = frozenset(origins)
        self._open: set[Connection] = set()
        self._draining = False

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
        if offered and protocol.SUBPROTOCOL not in offered:
            await _deny(socket, 400, "malformed", f"the subprotocol to offer is {protocol.SUBPROTOCOL}")
            return
        await socket.accept(subprotocol=protocol.SUBPROTOCOL if offered else None)
        connection = Connection(socket, self._relay)
        self._open.add(connection)
        try:
            if self._draining:
                connection.outbox.close(protocol.RESTARTING)
            await connection.run()
        finally:
            self._open.discard(connection)

    async def drain(self) -> None:
        """Say goodbye to every socket and wait, bounded, until they are gone; new ones are sent away."""
        self._draining = True
        connections = list(self._open)
        for connection in connections:
            connection.outbox.close(protocol.RESTARTING)
        with anyio.move_on_after(DRAIN_S):
            for connection in connections:
                await connection.gone.wait()


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
