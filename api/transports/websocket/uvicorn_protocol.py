"""uvicorn's HTTP protocol, made to let go of peers that never get to the point, or never read."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api.protocol.messages import MAX_MESSAGE_BYTES
from api.transports.websocket.handshake import read_handshake
from api.transports.websocket.server_protocol import Server, SocketProtocol

ABORT = "tasktape.abort"
"""The extension that ends the connection of a request whose peer doesn't read, by a call."""
HEAD_S = 10.0
"""So long the head of a request may take, or the first one after connecting."""
MAX_HEAD_BYTES = 64 * 1024


class State(ServerState):
    """What the connections of a server share; once it `is_ending`, each ends with its next answer."""

    is_ending = False

    def end(self) -> None:
        """Begin to end. A connection that idles is left alone: its peer may be sending a request just now."""
        self.is_ending = True
        for connection in self.connections:
            if isinstance(connection, HttpProtocol):
                connection.end_with_answer()


class HttpProtocol(HttpToolsProtocol):
    """Bounds the heads of requests, and lets the application cut a connection.

    uvicorn waits for ever for a head that stops halfway, and keeps one of any size. And to close a
    connection, its peer would have to read what is written.
    """

    _head_bytes = 0
    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin as uvicorn does, and wait for a request, but not for ever."""
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head grows too large."""
        super().data_received(data)
        if self._head_due is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end_head()
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """Begin a request as uvicorn does, with the extension in the scope."""
        super().on_message_begin()
        self.scope["extensions"] = cast("dict[str, dict[object, object]]", {ABORT: self.transport.abort})
        if self._head_due is None:
            self._begin_head()

    def on_headers_complete(self) -> None:
        """Go on as uvicorn does: the head is there."""
        self._end_head()
        super().on_headers_complete()
        if isinstance(self.server_state, State) and self.server_state.is_ending:
            self.end_with_answer()

    def end_with_answer(self) -> None:
        """End the connection with the answer to the request in hand, and say so in it, unless it has begun.

        Its peer sends nothing more on it then, so nothing is lost.
        """
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def handle_websocket_upgrade(self) -> None:
        """Go on as a WebSocket, unless something about the handshake is wrong: that uvicorn answers."""
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
                "scheme": "wss" if self.scheme == "https" else "ws",
                "server": self.server,
                "client": self.client,
                "root_path": self.root_path,
                "path": self.root_path + unquote(path.decode("ascii")),
                "raw_path": self.root_path.encode("ascii") + path,
                "query_string": query,
                "headers": self.headers,
                "state": self.app_state.copy(),
            }
        )

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
    # The protocol refuses what is larger with a reason; this bounds what is buffered until then.
    "ws_max_size": 2 * MAX_MESSAGE_BYTES,
    # We ping with messages of our own, which a page can see and answer.
    "ws_ping_interval": None,
    "ws_per_message_deflate": False,
}
"""What uvicorn has to be told about how it serves connections."""
