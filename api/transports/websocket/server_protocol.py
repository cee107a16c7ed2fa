"""The server's end of one WebSocket, after its handshake: its frames, its close, and its wire.

An ASGI application sends each message to each socket through a coroutine, which frames it again. The relay
has the same frame for thousands of sockets. So the socket offers its wire as an ASGI extension: the relay
writes complete frames to it, and input is passed to a callback, without a queue or a task. uvicorn does
everything up to the handshake, and answers invalid ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Opcode

from api.protocol.frames import WINDOW_BITS, Codec, Sendable, control_frame
from api.telemetry.counters import Traffic
from api.transports.websocket.asgi_application import AsgiApplication, Server
from api.transports.websocket.frame_parser import BadFrames, FrameReader
from api.transports.websocket.handshake import Handshake
from api.transports.websocket.socket_writer import SocketWriter
from api.transports.websocket.wire import CLOSE_TIMEOUT_S, Listener


class SocketProtocol(asyncio.Protocol):
    """Reads the frames of one client, and closes the connection; implements `wire.Wire`."""

    __slots__ = (
        "_abort_timer",
        "_application",
        "_close_sent",
        "_ended",
        "_is_lost",
        "_reader",
        "_reading",
        "_server",
        "_transport",
        "_writer",
        "deflates",
        "peer_code",
    )

    def __init__(self, server: Server, transport: asyncio.Transport, handshake: Handshake) -> None:
        self._server = server
        self._transport = transport
        self._writer = SocketWriter(transport, server.loop)
        self._reader: FrameReader | None = FrameReader(server.max_message_bytes, handshake.deflate)
        self._application = AsgiApplication(server, self, handshake)
        self.deflates = (
            handshake.deflate is not None and handshake.deflate.local_max_window_bits >= WINDOW_BITS
        )
        """True if the peer accepts compression with our window."""
        self.peer_code: int | None = None
        self._ended: asyncio.Future[None] | None = None
        self._is_lost = False
        self._reading = True
        self._abort_timer: asyncio.TimerHandle | None = None
        self._close_sent = False
        server.state.connections.add(self)  # type: ignore[arg-type]

    # --- the application's socket (see asgi_application.Socket) ------------------------------------------

    def begin(self, scope: Mapping[str, Any]) -> None:
        """Start the application; `scope` contains the data of the handshake's request."""
        self._application.begin(scope)

    @property
    def is_open(self) -> bool:
        """See `asgi_application.Socket.is_open`."""
        return not (self._is_lost or self._transport.is_closing())

    @property
    def accepts_frames(self) -> bool:
        """See `asgi_application.Socket.accepts_frames`."""
        return not self._close_sent

    def accept(self, response: bytes) -> None:
        """See `asgi_application.Socket.accept`."""
        self._writer.send(response)

    def reject(self, response: bytes) -> None:
        """See `asgi_application.Socket.reject`."""
        self._reader = None
        self._writer.finished = self._close_sent = True
        if not self._transport.is_closing():
            self._transport.write(response)
            self._transport.close()

    def write(self, frame: bytes) -> None:
        """See `asgi_application.Socket.write`."""
        self._writer.write_rest(frame)

    def hang_up(self) -> None:
        """See `asgi_application.Socket.hang_up`."""
        if self._abort_timer is None:
            self._transport.close()

    # --- input -------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse frames, and pass on their content."""
        if self._reader is None:
            return
        try:
            for opcode, payload in self._reader.read(data):
                self._handle_frame(opcode, payload)
        except BadFrames as error:
            self._fail(error)

    def _handle_frame(self, opcode: int, payload: bytes) -> None:
        if opcode == Opcode.TEXT:
            try:
                self._message(payload.decode())
            except UnicodeDecodeError:
                raise BadFrames(1007, "not UTF-8") from None
        elif opcode == Opcode.BINARY:
            self._message(payload)
        elif opcode == Opcode.PING:
            self._ping(payload)
        elif opcode == Opcode.CLOSE:
            self._closed_by_peer(payload)

    def _message(self, data: str | bytes) -> None:
        if self._close_sent:
            return
        listener = self._writer.listener
        if listener is not None:
            listener.received(data)
            return
        self._application.receive(data)
        self.pause()  # The application takes one at a time.

    def _ping(self, payload: bytes) -> None:
        """Answer a ping, unless the peer floods or does not read the answers."""
        listener = self._writer.listener
        if not self._close_sent and (listener is None or listener.pinged()):
            self._writer.send(control_frame(Opcode.PONG, payload))

    # --- close -------------------------------------------------------------------------------------------

    def _closed_by_peer(self, payload: bytes) -> None:
        """Answer a close, unless it is the answer to ours; nothing may be written after it."""
        self._reader = None
        try:
            self.peer_code = Close.parse(payload).code
        except ProtocolError as error:
            raise BadFrames(1002, str(error)) from None
        except UnicodeDecodeError:
            raise BadFrames(1007, "not UTF-8") from None
        if not self._close_sent:
            self._write_close(payload)
        self._end()

    def _fail(self, error: BadFrames) -> None:
        """Close because of an invalid frame, even if the peer does not read the close."""
        self._reader = None
        if not self._close_sent:
            self._write_close(Close(error.code, error.reason).serialize())
        self._end()

    def finish(self, last: Sendable | None, code: int, reason: str) -> None:
        """See `Wire.finish`."""
        self._writer.finish()
        if self._close_sent or self._transport.is_closing():
            self._transport.close()
            return
        if last is not None:
            self._transport.write(last.form(self._writer.codec))
        self._write_close(Close(code, reason).serialize())
        self.resume()
        # The peer's close ends it sooner, and cancels this.
        self._abort_later()

    def _write_close(self, payload: bytes) -> None:
        """Write the close, the last frame."""
        self._writer.queue()
        self._writer.finished = self._close_sent = True
        self._transport.write(control_frame(Opcode.CLOSE, payload))

    def _end(self) -> None:
        """End the connection when everything is written, or after a timeout."""
        self._transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        if self._abort_timer is None:
            self._abort_timer = self._server.loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)

    def shutdown(self) -> None:
        """End the connection, as the server stops."""
        if self._application.is_deciding:
            self._application.refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self.finish(None, 1012, "")
            self._end()

    # --- the wire ----------------------------------------------------------------------------------------

    @property
    def raw_socket(self) -> SocketWriter | None:
        """See `Wire.raw_socket`."""
        return self._writer if self._writer.is_raw else None

    @property
    def waiting_bytes(self) -> int:
        """See `Wire.waiting_bytes`."""
        return self._writer.waiting_bytes

    @property
    def push(self) -> Callable[[Sendable], None]:
        """See `Wire.push`."""
        return self._writer.push

    def encode_with(self, codec: Codec, traffic: Traffic) -> None:
        """See `Wire.encode_with`."""
        self._writer.codec, self._writer.traffic = codec, traffic

    def listen(self, listener: Listener, switched: Callable[[], None]) -> None:
        """Replace the application as the receiver; pass on earlier messages."""
        self._writer.listen(listener, switched)
        for data in self._application.take_messages():
            listener.received(data)
        if self._is_lost:
            listener.lost()
        else:
            self.resume()

    async def writable(self) -> None:
        """See `Wire.writable`."""
        await self._writer.writable()

    def pause(self) -> None:
        """See `Wire.pause`."""
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """See `Wire.resume`."""
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    async def ended(self) -> None:
        """See `Wire.ended`."""
        if not self._is_lost:
            self._ended = self._server.loop.create_future()
            await self._ended

    # --- callbacks of the transport ----------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Start the time limit of a peer that does not read."""
        self._writer.begin_time_limit()

    def resume_writing(self) -> None:
        """End the time limit of a peer that does not read."""
        self._writer.end_time_limit()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Clean up after the connection, and wake all waiters."""
        self._writer.finish()
        self._reader = None
        self._close_sent = True
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._server.state.connections.discard(self)
        self._is_lost = True
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self._application.lost()
        if self._writer.listener is not None:
            self._writer.listener.lost()
