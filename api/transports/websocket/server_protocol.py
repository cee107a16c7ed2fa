"""One WebSocket: its frames, the ASGI application that serves it, and its wire.

An ASGI application sends each message to each socket through a coroutine, which frames it again. The relay
has the same frame for thousands of sockets. So the socket offers its wire as an ASGI extension: the relay
writes complete frames to it, and input is passed to a callback, without a queue or a task. uvicorn does
everything up to the handshake, and answers invalid ones.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from uvicorn.server import ServerState
from websockets.exceptions import ProtocolError
from websockets.frames import Close, Opcode

from api.protocol.frames import JSON, PACKED, WINDOW_BITS, Sendable, control_frame
from api.telemetry.counters import Traffic
from api.transports.websocket.frame_parser import BadFrames, FrameReader
from api.transports.websocket.handshake import Handshake
from api.transports.websocket.wire import (
    CLOSE_TIMEOUT_S,
    EXTENSION,
    HIGH_WATER_BYTES,
    LOW_WATER_BYTES,
    MAX_WAITING_BYTES,
    SLOW_S,
    Listener,
)

log = structlog.get_logger(__name__)

NO_CODE = 1005
"""The code of a connection that ended without one (RFC 6455, section 7.4.1)."""
Message = MutableMapping[str, Any]


class Gone(OSError):
    """The client is gone."""


@dataclass(frozen=True, slots=True)
class Server:
    """The state that the sockets of a server share."""

    application: Callable[..., Any]
    state: ServerState
    loop: asyncio.AbstractEventLoop
    max_message_bytes: int


class SocketProtocol(asyncio.Protocol):
    """Serves one client after its handshake; implements `wire.Wire` and `fanout.RawSocket`."""

    __slots__ = (
        "_abort_timer",
        "_answer",
        "_close_sent",
        "_descriptor",
        "_ended",
        "_event_waiter",
        "_events",
        "_handshake",
        "_is_lost",
        "_reader",
        "_reading",
        "_server",
        "_slow_timer",
        "_switched",
        "_transport",
        "_write_waiter",
        "codec",
        "deflates",
        "descriptor",
        "finished",
        "listener",
        "peer_code",
        "traffic",
    )

    def __init__(self, server: Server, transport: asyncio.Transport, handshake: Handshake) -> None:
        self._server = server
        self._transport = transport
        self._handshake: Handshake | None = handshake
        self._reader: FrameReader | None = FrameReader(server.max_message_bytes, handshake.deflate)
        self.deflates = (
            handshake.deflate is not None and handshake.deflate.local_max_window_bits >= WINDOW_BITS
        )
        """True if the peer accepts compression with our window."""
        self.codec = JSON
        self.traffic = Traffic()
        self.listener: Listener | None = None
        self.finished = False
        """True if nothing more is pushed."""
        self.peer_code: int | None = None
        self.descriptor = -1
        """See `fanout.RawSocket`."""
        self._descriptor = _descriptor_of(transport)
        self._switched: Callable[[], None] = _ignore
        self._answer: list[bytes] | None = None
        self._events: deque[Message] | None = None
        self._event_waiter: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._is_lost = False
        self._write_waiter: asyncio.Future[None] | None = None
        self._reading = True
        self._slow_timer: asyncio.TimerHandle | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._close_sent = False
        transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        server.state.connections.add(self)  # type: ignore[arg-type]

    # --- the application ---------------------------------------------------------------------------------

    def begin(self, scope: Mapping[str, Any]) -> None:
        """Start the application; `scope` contains the data of the handshake's request."""
        assert self._handshake is not None
        whole = {
            **scope,
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "subprotocols": list(self._handshake.subprotocols),
            "extensions": {"websocket.http.response": {}, EXTENSION: self},
        }
        self._enqueue({"type": "websocket.connect"})
        task = self._server.loop.create_task(self._serve(whole))
        self._server.state.tasks.add(task)
        task.add_done_callback(self._server.state.tasks.discard)

    async def _serve(self, scope: Message) -> None:
        try:
            await self._server.application(scope, self._receive, self._send)
        except Gone:
            pass
        except Exception:
            log.exception("a socket failed")
        finally:
            if self._handshake is not None:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
            if self._abort_timer is None:
                self._transport.close()

    async def _receive(self) -> Message:
        while not self._events:
            if self._is_lost:
                return {"type": "websocket.disconnect", "code": self.peer_code or NO_CODE}
            self._event_waiter = self._server.loop.create_future()
            await self._event_waiter
        event = self._events.popleft()
        if not self._events:
            self.resume()
        return event

    def _enqueue(self, event: Message) -> None:
        """Queue an event for the application."""
        if self._events is None:
            self._events = deque()
        self._events.append(event)
        _wake(self._event_waiter)

    async def _send(self, message: Message) -> None:
        """Execute a message of the application. Raise `Gone`."""
        await self.writable()
        if self._is_lost or self._transport.is_closing():
            raise Gone("the client is gone")
        match message["type"]:
            case "websocket.accept" if self._handshake is not None:
                self._accept(message)
            case "websocket.close" if self._handshake is not None:
                self._refuse(HTTPStatus.FORBIDDEN)
            case "websocket.http.response.start" if self._handshake is not None:
                self._answer = [_head(message["status"], message.get("headers", []))]
            case "websocket.http.response.body" if self._answer is not None:
                self._answer.append(message.get("body", b""))
                if not message.get("more_body", False):
                    self._reply(b"".join(self._answer))
            case "websocket.send" if self._handshake is None and not self._close_sent:
                text = message.get("text")
                frame = PACKED.frame(message["bytes"]) if text is None else JSON.frame(text.encode())
                self.write_rest(frame)
            case "websocket.close" if self._handshake is None and not self._close_sent:
                self.finish(None, message.get("code", 1000), message.get("reason") or "")
            case other:
                raise RuntimeError(f"{other} is not what may be sent now")

    def _accept(self, message: Message) -> None:
        assert self._handshake is not None
        headers = [*self._server.state.default_headers, *message.get("headers", [])]
        response = self._handshake.response(message.get("subprotocol"), headers)
        self._handshake = None
        self.send(response)

    def _refuse(self, status: HTTPStatus) -> None:
        self._reply(_head(status, [(b"content-length", b"0")]))

    def _reply(self, response: bytes) -> None:
        """Answer the handshake with an HTTP response."""
        self._handshake = self._reader = None
        self.finished = self._close_sent = True
        if not self._transport.is_closing():
            self._transport.write(response)
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
        if self.listener is not None:
            self.listener.received(data)
            return
        self._enqueue({"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data})
        self.pause()  # The application takes one at a time.

    def _ping(self, payload: bytes) -> None:
        """Answer a ping, unless the peer floods or does not read the answers."""
        if not self._close_sent and (self.listener is None or self.listener.pinged()):
            self.send(control_frame(Opcode.PONG, payload))

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
        self._hang_up()

    def _fail(self, error: BadFrames) -> None:
        """Close because of an invalid frame, even if the peer does not read the close."""
        self._reader = None
        if not self._close_sent:
            self._write_close(Close(error.code, error.reason).serialize())
        self._hang_up()

    def _write_close(self, payload: bytes) -> None:
        """Write the close, the last frame."""
        self.queue()
        self.finished = self._close_sent = True
        self._transport.write(control_frame(Opcode.CLOSE, payload))

    def _hang_up(self) -> None:
        """End the connection when everything is written, or after a timeout."""
        self._transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        if self._abort_timer is None:
            self._abort_timer = self._server.loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)

    # --- the wire ----------------------------------------------------------------------------------------

    @property
    def raw_socket(self) -> SocketProtocol | None:
        """See `Wire.raw_socket`."""
        return None if self._descriptor is None else self

    @property
    def waiting_bytes(self) -> int:
        """See `Wire.waiting_bytes`."""
        return self._transport.get_write_buffer_size()

    def listen(self, listener: Listener, switched: Callable[[], None]) -> None:
        """Replace the application as the receiver; pass on earlier messages."""
        self.listener, self._switched = listener, switched
        events, self._events = self._events or (), None
        for event in events:
            if event["type"] == "websocket.receive":
                listener.received(event["bytes"] if event.get("text") is None else event["text"])
        if self._is_lost:
            listener.lost()
        else:
            self.resume()

    def push(self, messages: Sendable) -> None:
        """Write; close a peer that is too slow. A single large message always fits."""
        if self.finished:
            return
        frames = messages.form(self.codec)
        if self.send(frames):
            traffic = self.traffic
            traffic.messages += messages.count
            traffic.size_bytes += len(frames)

    def send(self, frames: bytes) -> bool:
        """Write directly to the socket while the transport has nothing queued: the transport takes longer.

        Return False if the limit is reached. The transport reports a lost connection before it closes the
        descriptor.
        """
        if self.descriptor < 0 and not self._can_write_directly():
            if self.waiting_bytes >= MAX_WAITING_BYTES:
                self._too_slow()
                return False
            self._transport.write(frames)
            return True
        try:
            taken = os.write(self.descriptor, frames)
        except OSError:
            taken = 0  # The transport finds the error.
        if taken < len(frames):
            self.write_rest(frames[taken:])
        return True

    def _can_write_directly(self) -> bool:
        """Return True if writing directly to the socket is possible again."""
        if self._descriptor is None or self.finished or self.waiting_bytes:
            return False
        self.descriptor = self._descriptor
        self._switched()
        return True

    def write_rest(self, frames: bytes) -> None:
        """See `fanout.RawSocket`."""
        self.queue()
        self._transport.write(frames)

    def queue(self) -> None:
        """Do not write directly until the transport has written everything queued."""
        if self.descriptor >= 0:
            self.descriptor = -1
            self._switched()

    async def writable(self) -> None:
        """See `Wire.writable`."""
        if self._write_waiter is not None:
            await asyncio.shield(self._write_waiter)

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

    def finish(self, last: Sendable | None, code: int, reason: str) -> None:
        """See `Wire.finish`."""
        self.queue()
        self._end_time_limit()
        self.finished = True
        if self._close_sent or self._transport.is_closing():
            self._transport.close()
            return
        if last is not None:
            self._transport.write(last.form(self.codec))
        self._write_close(Close(code, reason).serialize())
        self.resume()
        # The peer's close ends it sooner, and cancels this.
        self._abort_later()

    async def ended(self) -> None:
        """See `Wire.ended`."""
        if not self._is_lost:
            self._ended = self._server.loop.create_future()
            await self._ended

    def _too_slow(self) -> None:
        if self.listener is not None:
            self.listener.too_slow()

    # --- callbacks of the transport ----------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Start the time limit: much is waiting for the peer to read."""
        if self._write_waiter is None:
            self._write_waiter = self._server.loop.create_future()
        if self._slow_timer is None and not self.finished:
            self._slow_timer = self._server.loop.call_later(SLOW_S, self._too_slow)

    def resume_writing(self) -> None:
        """End the time limit: little is waiting."""
        self._end_time_limit()

    def _end_time_limit(self) -> None:
        waiter, self._write_waiter = self._write_waiter, None
        _wake(waiter)
        if self._slow_timer is not None:
            self._slow_timer.cancel()
            self._slow_timer = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Clean up after the connection, and wake all waiters."""
        self.queue()
        self._reader = None
        self.finished = self._close_sent = True
        self._end_time_limit()
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._server.state.connections.discard(self)
        self._is_lost = True
        _wake(self._ended)
        _wake(self._event_waiter)
        if self.listener is not None:
            self.listener.lost()

    def shutdown(self) -> None:
        """End the connection, as the server stops."""
        if self._handshake is not None:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self.finish(None, 1012, "")
            self._hang_up()


def _ignore() -> None:
    """Do nothing; the default callback."""


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a response after which the connection is closed."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\n".encode()]
    lines += [b"%s: %s\r\n" % header for header in headers]
    return b"".join([*lines, b"\r\n"])


def _descriptor_of(transport: asyncio.Transport) -> int | None:
    """Return the descriptor to write to directly; None if the transport is more than a socket."""
    connected = transport.get_extra_info("socket")
    if connected is None or transport.get_extra_info("sslcontext") is not None:
        return None
    number: int = connected.fileno()
    return number
