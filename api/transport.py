"""The wire under a socket: uvicorn's WebSocket protocol, which lets the relay write frames itself.

An ASGI application sends each message to each socket through a coroutine, which frames it anew. The relay
has the same frame for thousands of sockets. So the protocol offers its transport as an ASGI extension, and
hands what comes in to a callback, without a queue or a task. Everything else stays uvicorn's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast
from urllib.parse import unquote

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.protocol import State

from api.counters import Traffic
from api.fanout import Direct
from api.frames import JSON, WINDOW_BITS, Codec, Sendable
from api.handshake import Handshake
from api.protocol import MAX_MESSAGE_BYTES

EXTENSION = "tasktape.wire"
MAX_WAITING_BYTES = 4 * 1024 * 1024
HIGH_WATER_BYTES, LOW_WATER_BYTES = 256 * 1024, 64 * 1024
SLOW_S = 15.0
"""So long a socket may have more than the high water waiting."""
FAREWELL_S = 2.0
"""So long a peer has to read what is left and to answer the close."""


class Listener(Protocol):
    """Hears of what happens on a wire. None of its methods waits."""

    def received(self, data: str | bytes) -> None:
        """A message came in: text or binary."""

    def pinged(self) -> bool:
        """A ping of the WebSocket protocol came in; whether to answer it."""

    def too_slow(self) -> None:
        """The peer does not read what is written to it."""

    def lost(self) -> None:
        """The connection is gone."""


class Wire(Protocol):
    """Carries the messages of one socket."""

    codec: Codec
    traffic: Traffic
    """What goes out is counted there."""

    @property
    def direct(self) -> Direct | None:
        """See `hub.Peer.direct`."""

    @property
    def peer_code(self) -> int | None:
        """The code that the peer closed with, if it did."""

    @property
    def deflates(self) -> bool:
        """Whether the peer takes compressed messages."""

    @property
    def waiting_bytes(self) -> int:
        """What was not taken by the network yet."""

    def listen(self, listener: Listener, switched: Callable[[], None]) -> None:
        """From here on the listener is told of what happens; `switched` when the descriptor changes."""

    def push(self, messages: Sendable) -> None:
        """Write; never waits."""

    async def room(self) -> None:
        """Wait until less than the high water is waiting."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read on."""

    def finish(self, last: Sendable | None, code: int, reason: str) -> None:
        """Write one more, close, and see that the connection ends; nothing is pushed after it."""

    async def ended(self) -> None:
        """Wait until the connection is gone."""


class RelayProtocol(WebSocketsSansIOProtocol):
    """Offers its wire to the application."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.config.ws_per_message_deflate:
            # Without context takeover a message is compressed once for all sockets, and none keeps a window.
            self.conn.available_extensions = [
                ServerPerMessageDeflateFactory(
                    server_no_context_takeover=True,
                    client_no_context_takeover=True,
                    server_max_window_bits=WINDOW_BITS,
                    client_max_window_bits=WINDOW_BITS,
                )
            ]
        self.wire: DirectWire | None = None
        self._handshake: Handshake | None = None

    def begin(self, handshake: Handshake, request: Mapping[str, Any], path: str, query: bytes) -> None:
        """Begin with a handshake that has been read, so that it need not be read again; see `handle_connect`.

        `request` is the scope of the HTTP request that it came by.
        """
        self._handshake = handshake
        self.handshake_initiated = True
        # What comes next are frames: whoever wrote the handshake's answer opened the connection.
        self.conn.state = State.OPEN
        self.conn.parser = self.conn.parse()
        next(self.conn.parser)
        self.wire = DirectWire(self)
        self.scope = {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "root_path": self.root_path,
            "path": self.root_path + unquote(path),
            "raw_path": (self.root_path + path).encode("ascii"),
            "query_string": query,
            "headers": request["headers"],
            "subprotocols": list(handshake.subprotocols),
            "state": self.app_state.copy(),
            "extensions": cast("Any", {"websocket.http.response": {}, EXTENSION: self.wire}),
        }
        self.queue.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    async def send(self, message: Any) -> None:
        """Accept a handshake that was read here; everything else is uvicorn's."""
        handshake = self._handshake
        if message["type"] != "websocket.accept" or handshake is None or self.disconnected:
            await super().send(message)
            return
        self._handshake = None
        if not self.transport.is_closing():
            headers = [*self.default_headers, *message.get("headers", [])]
            self.transport.write(handshake.response(message.get("subprotocol"), headers))
            self.handshake_complete = True

    def handle_connect(self, event: Any) -> None:
        """Begin as uvicorn does, with the extension in the scope."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.wire = DirectWire(self)
            extensions = cast("dict[str, Any]", self.scope["extensions"])
            extensions[EXTENSION] = self.wire

    def send_receive_event_to_app(self) -> None:
        """Hand a message on: to the listener, or until there is one to the application."""
        listener = self.wire.listener if self.wire is not None else None
        if listener is None:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "bytes":
            listener.received(bytes(data))
            return
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self.conn.send_close(1007)
            self.handle_parser_exception()
            return
        listener.received(text)

    def handle_ping(self) -> None:
        """Answer, unless the peer floods or doesn't read the answers."""
        wire = self.wire
        if wire is None or wire.listener is None:
            super().handle_ping()
            return
        answer = b"".join(self.conn.data_to_send())
        if not wire.listener.pinged():
            return
        wire.send(answer)

    def handle_close(self, event: Any) -> None:
        """Answer; nothing may be written past the answer."""
        if self.wire is not None:
            self.wire.queue()
        super().handle_close(event)

    def pause_writing(self) -> None:
        """Give the peer some time to read."""
        super().pause_writing()
        if self.wire is not None:
            self.wire.paused()

    def resume_writing(self) -> None:
        """It reads."""
        super().resume_writing()
        if self.wire is not None:
            self.wire.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener."""
        super().connection_lost(exc)
        if self.wire is not None:
            self.wire.was_lost()

    def handle_parser_exception(self) -> None:
        """Close for what is no WebSocket, also if the peer doesn't read that."""
        if self.wire is not None:
            self.wire.queue()
        super().handle_parser_exception()
        self.loop.call_later(FAREWELL_S, self.transport.abort)


class DirectWire:
    """Writes to the transport of a `RelayProtocol`."""

    __slots__ = (
        "_descriptor",
        "_protocol",
        "_slow",
        "_switched",
        "_transport",
        "codec",
        "descriptor",
        "finished",
        "listener",
        "lost",
        "traffic",
    )

    def __init__(self, protocol: RelayProtocol) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        self._descriptor = _descriptor_of(self._transport)
        self.descriptor = -1
        """See `fanout.Direct`."""
        self._switched: Callable[[], None] = _nobody
        self._slow: asyncio.TimerHandle | None = None
        self.codec = JSON
        self.listener: Listener | None = None
        self.finished = False
        self.lost: asyncio.Future[None] | None = None
        self.traffic = Traffic()

    @property
    def peer_code(self) -> int | None:
        """See `Wire.peer_code`."""
        close = self._protocol.conn.close_rcvd
        return None if close is None else int(close.code)

    @property
    def deflates(self) -> bool:
        """Whether the peer takes what is compressed with our window."""
        return any(
            isinstance(extension, PerMessageDeflate) and extension.local_max_window_bits >= WINDOW_BITS
            for extension in self._protocol.conn.extensions
        )

    @property
    def waiting_bytes(self) -> int:
        """See `Wire.waiting_bytes`."""
        return self._transport.get_write_buffer_size()

    @property
    def direct(self) -> DirectWire | None:
        """See `Wire.direct`."""
        return None if self._descriptor is None else self

    def listen(self, listener: Listener, switched: Callable[[], None]) -> None:
        """Take over from the application; what came before is handed on."""
        self._switched = switched
        protocol = self._protocol
        self.lost = protocol.loop.create_future()
        self.listener = listener
        while not protocol.queue.empty():
            event: Any = protocol.queue.get_nowait()
            if event["type"] == "websocket.receive":
                listener.received(event["bytes"] if event.get("text") is None else event["text"])
        if protocol.disconnected:
            self.was_lost()
        elif protocol.read_paused:
            self.resume()

    def push(self, messages: Sendable) -> None:
        """Write; what doesn't fit ends a peer that is too slow, but a large message alone fits."""
        if self.finished:
            return
        frames = messages.form(self.codec)
        if self.send(frames):
            traffic = self.traffic
            traffic.messages += messages.count
            traffic.size_bytes += len(frames)

    def send(self, frames: bytes) -> bool:
        """Write, past the transport while nothing waits in it: that takes it longer than the network does.

        False if there is no room. The transport tells of a connection that is lost before it closes the
        descriptor.
        """
        if self.descriptor < 0 and not self._is_free():
            if self.waiting_bytes >= MAX_WAITING_BYTES:
                self._too_slow()
                return False
            self._transport.write(frames)
            return True
        try:
            taken = os.write(self.descriptor, frames)
        except OSError:
            taken = 0  # What is wrong, the transport finds out.
        if taken < len(frames):
            self.write_rest(frames[taken:])
        return True

    def _is_free(self) -> bool:
        """Look whether one may write past the transport again."""
        if self._descriptor is None or self.finished or self._protocol.close_sent or self.waiting_bytes:
            return False
        self.descriptor = self._descriptor
        self._switched()
        return True

    def write_rest(self, frames: bytes) -> None:
        """See `fanout.Direct`."""
        self.queue()
        self._transport.write(frames)

    def queue(self) -> None:
        """Write nothing past the transport until it has written what it is given now."""
        if self.descriptor >= 0:
            self.descriptor = -1
            self._switched()

    async def room(self) -> None:
        """See `Wire.room`."""
        await self._protocol.writable.wait()

    def pause(self) -> None:
        """See `Wire.pause`."""
        if not self._transport.is_closing():
            self._protocol.read_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """See `Wire.resume`."""
        if self._protocol.read_paused and not self._transport.is_closing():
            self._protocol.read_paused = False
            self._transport.resume_reading()

    def finish(self, last: Sendable | None, code: int, reason: str) -> None:
        """See `Wire.finish`."""
        self.finished = True
        self.queue()
        self.resumed()
        protocol = self._protocol
        if protocol.disconnected or protocol.close_sent or self._transport.is_closing():
            self._transport.close()
            return
        if last is not None:
            self._transport.write(last.form(self.codec))
        protocol.conn.send_close(code, reason)
        self._transport.write(b"".join(protocol.conn.data_to_send()))
        protocol.close_sent = True
        self.resume()
        # An answer to the close ends it sooner, and cancels this.
        protocol.close_timer = protocol.loop.call_later(FAREWELL_S, self._transport.abort)

    async def ended(self) -> None:
        """See `Wire.ended`."""
        if self.lost is not None:
            await self.lost

    def paused(self) -> None:
        """Much is waiting to be read by the peer: it has a while for that."""
        if self._slow is None and not self.finished:
            self._slow = self._protocol.loop.call_later(SLOW_S, self._too_slow)

    def resumed(self) -> None:
        """Little is waiting."""
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def was_lost(self) -> None:
        """The connection is gone."""
        self.finished = True
        self.queue()
        self.resumed()
        if self.lost is not None and not self.lost.done():
            self.lost.set_result(None)
        if self.listener is not None:
            self.listener.lost()

    def _too_slow(self) -> None:
        if self.listener is not None:
            self.listener.too_slow()


def _nobody() -> None:
    """Nobody has to be told yet."""


def _descriptor_of(transport: asyncio.Transport) -> int | None:
    """What to write to past a transport; None if it is more than a socket."""
    connected = transport.get_extra_info("socket")
    if connected is None or transport.get_extra_info("sslcontext") is not None:
        return None
    number: int = connected.fileno()
    return number


WEBSOCKET_OPTIONS: dict[str, Any] = {
    "ws": RelayProtocol,
    # The protocol refuses what is larger with a reason; this bounds what is buffered until then.
    "ws_max_size": 2 * MAX_MESSAGE_BYTES,
    # We ping with messages of our own, which a page can see and answer.
    "ws_ping_interval": None,
    "ws_per_message_deflate": False,
}
"""What uvicorn has to be told about WebSockets."""
