"""The ASGI application that serves one WebSocket: its events, and the messages that it sends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import structlog
from uvicorn.server import ServerState

from api.protocol.frames import JSON, PACKED, Sendable
from api.transports.websocket.handshake import Handshake
from api.transports.websocket.wire import EXTENSION

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


class Socket(Protocol):
    """The socket that an application serves."""

    @property
    def peer_code(self) -> int | None:
        """See `Wire.peer_code`."""

    @property
    def is_open(self) -> bool:
        """Return True if something can be written."""

    @property
    def accepts_frames(self) -> bool:
        """Return True until a close or a refusal was written."""

    async def writable(self) -> None:
        """See `Wire.writable`."""

    def accept(self, response: bytes) -> None:
        """Answer the handshake, and continue as a WebSocket."""

    def reject(self, response: bytes) -> None:
        """Answer the handshake, and end the connection."""

    def write(self, frame: bytes) -> None:
        """Write a frame."""

    def finish(self, last: Sendable | None, code: int, reason: str) -> None:
        """See `Wire.finish`."""

    def resume(self) -> None:
        """See `Wire.resume`."""

    def hang_up(self) -> None:
        """End the connection, unless it is ending."""


class AsgiApplication:
    """One run of the application. It ends the connection when it ends."""

    __slots__ = ("_answer", "_event_waiter", "_events", "_handshake", "_is_lost", "_server", "_socket")

    def __init__(self, server: Server, socket: Socket, handshake: Handshake) -> None:
        self._server = server
        self._socket = socket
        self._handshake: Handshake | None = handshake
        self._answer: list[bytes] | None = None
        self._events: deque[Message] | None = None
        self._event_waiter: asyncio.Future[None] | None = None
        self._is_lost = False

    @property
    def is_deciding(self) -> bool:
        """Return True until the handshake is answered."""
        return self._handshake is not None

    def begin(self, scope: Mapping[str, Any]) -> None:
        """Start the application; `scope` contains the data of the handshake's request."""
        assert self._handshake is not None
        whole = {
            **scope,
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "subprotocols": list(self._handshake.subprotocols),
            "extensions": {"websocket.http.response": {}, EXTENSION: self._socket},
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
                self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
            self._socket.hang_up()

    # --- events ------------------------------------------------------------------------------------------

    def receive(self, data: str | bytes) -> None:
        """Queue a message of the client."""
        self._enqueue({"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data})

    def lost(self) -> None:
        """Report that the connection is gone, after the queued events."""
        self._is_lost = True
        self._wake()

    def take_messages(self) -> Iterable[str | bytes]:
        """Remove all queued events; return the messages of the client among them."""
        events, self._events = self._events or (), None
        return [
            event["bytes"] if event.get("text") is None else event["text"]
            for event in events
            if event["type"] == "websocket.receive"
        ]

    async def _receive(self) -> Message:
        while not self._events:
            if self._is_lost:
                return {"type": "websocket.disconnect", "code": self._socket.peer_code or NO_CODE}
            self._event_waiter = self._server.loop.create_future()
            await self._event_waiter
        event = self._events.popleft()
        if not self._events:
            self._socket.resume()
        return event

    def _enqueue(self, event: Message) -> None:
        if self._events is None:
            self._events = deque()
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._event_waiter is not None and not self._event_waiter.done():
            self._event_waiter.set_result(None)

    # --- messages ----------------------------------------------------------------------------------------

    async def _send(self, message: Message) -> None:
        """Execute a message of the application. Raise `Gone`."""
        await self._socket.writable()
        if not self._socket.is_open:
            raise Gone("the client is gone")
        open_for_frames = self._handshake is None and self._socket.accepts_frames
        match message["type"]:
            case "websocket.accept" if self._handshake is not None:
                self._accept(self._handshake, message)
            case "websocket.close" if self._handshake is not None:
                self.refuse(HTTPStatus.FORBIDDEN)
            case "websocket.http.response.start" if self._handshake is not None:
                self._answer = [_head(message["status"], message.get("headers", []))]
            case "websocket.http.response.body" if self._answer is not None:
                self._answer.append(message.get("body", b""))
                if not message.get("more_body", False):
                    self._reject(b"".join(self._answer))
            case "websocket.send" if open_for_frames:
                text = message.get("text")
                frame = PACKED.frame(message["bytes"]) if text is None else JSON.frame(text.encode())
                self._socket.write(frame)
            case "websocket.close" if open_for_frames:
                self._socket.finish(None, message.get("code", 1000), message.get("reason") or "")
            case other:
                raise RuntimeError(f"{other} is not what may be sent now")

    def _accept(self, handshake: Handshake, message: Message) -> None:
        headers = [*self._server.state.default_headers, *message.get("headers", [])]
        self._handshake = None
        self._socket.accept(handshake.response(message.get("subprotocol"), headers))

    def refuse(self, status: HTTPStatus) -> None:
        """Answer the handshake with an error."""
        self._reject(_head(status, [(b"content-length", b"0")]))

    def _reject(self, response: bytes) -> None:
        self._handshake = None
        self._socket.reject(response)


def _head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a response after which the connection is closed."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\n".encode()]
    lines += [b"%s: %s\r\n" % header for header in headers]
    return b"".join([*lines, b"\r\n"])
