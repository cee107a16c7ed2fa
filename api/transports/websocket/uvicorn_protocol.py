"""uvicorn's HTTP protocol, extended to disconnect peers that never finish a request, or never read."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api.protocol.limits import MAX_MESSAGE_BYTES
from api.transports.websocket.asgi_application import Server
from api.transports.websocket.handshake import read_handshake
from api.transports.websocket.server_protocol import SocketProtocol

ABORT = "tasktape.abort"
"""The extension that aborts the connection of a request whose peer does not read."""
HEAD_S = 10.0
"""Seconds for the head of a request, or from connecting to the first head."""
MAX_HEAD_BYTES = 64 * 1024


class State(ServerState):
    """The state that the connections of a server share; once it `is_ending`, each ends when it answers."""

    is_ending = False

    def end(self) -> None:
        """Start to end. Idle connections stay: a peer may be sending a request right now."""
        self.is_ending = True
        for connection in self.connections:
            if isinstance(connection, HttpProtocol):
                connection.end_with_answer()


class HttpProtocol(HttpToolsProtocol):
    """Limits the heads of requests, and lets the application abort a connection.

    uvicorn waits for ever for an incomplete head, and accepts one of any size. And closing a connection would
    require that its peer reads.
    """

    _head_bytes = 0
    _head_due: asyncio.TimerHandle | None = None
    _is_upgrade: bool | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start as uvicorn does, and limit the time until a request."""
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limit."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Continue reading, unless the head is too large."""
        super().data_received(data)
        if self._head_due is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end_head()
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """Start a request as uvicorn does, with the extension in the scope."""
        super().on_message_begin()
        self._is_upgrade = None
        self.scope["extensions"] = cast("dict[str, dict[object, object]]", {ABORT: self.transport.abort})
        if self._head_due is None:
            self._begin_head()

    def on_headers_complete(self) -> None:
        """Continue as uvicorn does: the head is complete."""
        self._end_head()
        super().on_headers_complete()
        if isinstance(self.server_state, State) and self.server_state.is_ending:
            self.end_with_answer()

    def end_with_answer(self) -> None:
        """End the connection with the response to the current request; announce that, unless it has started.

        The peer sends no further request on it then, so nothing is lost.
        """
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def _should_upgrade(self) -> bool:
        """Decide as uvicorn does, once for a request: it asks three times."""
        if self._is_upgrade is None:
            self._is_upgrade = super()._should_upgrade()
        return self._is_upgrade

    def handle_websocket_upgrade(self) -> None:
        """Continue as a WebSocket, unless the handshake is invalid: uvicorn answers that."""
        config = self.config
        handshake = read_handshake(
            self.scope["method"],
            self.parser.get_http_version(),
            self.headers,
            deflates=config.ws_per_message_deflate,
        )
        if handshake is None:
            super().handle_websocket_upgrade()
            return
        if not self.url.isascii():
            self.send_400_response("The address of the request is not ASCII.")
            return
        self.connections.discard(self)
        server = Server(self.app, self.server_state, self.loop, config.ws_max_size)
        socket = SocketProtocol(server, self.transport, handshake)
        self.transport.set_protocol(socket)
        path, _, query = self.url.partition(b"?")
        socket.begin(
            {
                **self.scope,
                "scheme": "wss" if self.scheme == "https" else "ws",
                "path": self.root_path + unquote(path.decode("ascii")),
                "raw_path": self.root_path.encode("ascii") + path,
                "query_string": query,
            }
        )
        # It refers to this object, too: neither would be freed before the next collection of garbage.
        self.parser = None  # type: ignore[assignment]

    def _begin_head(self) -> None:
        self._head_bytes = 0
        self._head_due = self.loop.call_later(HEAD_S, self.transport.abort)

    def _end_head(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None


OPTIONS: dict[str, Any] = {
    "http": HttpProtocol,
    "ws": "websockets-sansio",
    # The protocol refuses larger messages with a reason; this limits the buffer until then.
    "ws_max_size": 2 * MAX_MESSAGE_BYTES,
    # We ping with our own messages, which a page can see and answer.
    "ws_ping_interval": None,
    "ws_per_message_deflate": False,
}
"""The options of uvicorn for serving connections."""
