"""One accepted socket: processes messages from its wire one after another, and its timers.

A message is decoded when it arrives, so that a slow query never delays the detection of a pong. Commands are
executed by a task, one after another; the task only exists while there is work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from secrets import token_hex

import structlog

from api.protocol import close_codes
from api.protocol.client_messages import BadFrame, Incoming, Ping, Pong, Refused
from api.protocol.close_codes import INTERNAL_ERROR, TOO_SLOW, CloseReason
from api.protocol.decoding import read_frame
from api.protocol.frames import EncodedMessage, Sendable, codec
from api.protocol.server_messages import PING, Error, ServerMessage, goodbye, pong_to
from api.relay.context import Relay
from api.relay.session import Session
from api.telemetry.counters import Transport
from api.transports.websocket.wire import Wire

log = structlog.get_logger(__name__)

MAX_COMMANDS_AHEAD = 64
SILENT_PERIODS = 2


class Connection:
    """Serves one socket until it is closed. It is its session's sink, and its wire's listener."""

    transport: Transport = "websocket"

    def __init__(self, wire: Wire, relay: Relay, *, packed: bool = False) -> None:
        self._wire = wire
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        self._commands: deque[Incoming] | None = None
        self._work: asyncio.Task[None] | None = None
        self._received_at = self._ping_at = self._loop.time()
        self._deadline = self._loop.call_later(relay.authentication_s, self._tick)
        self._expires_at: float | None = None
        self._packed = packed
        self.closed = False
        self.close_reason: CloseReason | None = None
        self._traffic = relay.counters.traffic_of("websocket", "msgpack" if packed else "json")
        self._traffic.opened += 1
        self.push: Callable[[Sendable], object] = wire.push
        """See `SessionSink.push`."""
        self.raw_socket = wire.raw_socket
        self._batched = False
        self._negotiate()
        self.session = Session(relay, self, token_hex(16), self._wake)
        wire.listen(self, relay.hub.subscribers.recipients.clear)

    @property
    def user(self) -> str | None:
        """Return its user, once authenticated."""
        identity = self.session.identity
        return None if identity is None else identity.user

    @property
    def waiting_bytes(self) -> int:
        """Return the number of bytes that the peer has not accepted yet."""
        return self._wire.waiting_bytes

    def batch(self) -> None:
        """See `SessionSink.batch`."""
        self._batched = True
        self._negotiate()
        self._relay.hub.subscribers.recipients.clear()

    def _negotiate(self) -> None:
        chosen = codec(packed=self._packed, deflated=self._wire.deflates, batched=self._batched)
        self._wire.encode_with(chosen, self._traffic)

    async def writable(self) -> None:
        """See `SessionSink.writable`."""
        await self._wire.writable()

    # --- input -------------------------------------------------------------------------------------------

    def received(self, data: str | bytes) -> None:
        """Decode a frame, and queue its commands."""
        if self.closed:
            return
        self._received_at = self._loop.time()
        try:
            for message in self._messages(data):
                self._handle(message)
        except BadFrame as error:
            self._send(Error(code="malformed", message=str(error)))
            self.close(CloseReason(close_codes.BAD_MESSAGE, str(error)))
        except Exception:
            log.exception("a socket failed")
            self.close(INTERNAL_ERROR)

    def _messages(self, data: str | bytes) -> list[Incoming | Refused]:
        if isinstance(data, bytes) != self._packed:
            raise BadFrame(f"messages are {'binary' if self._packed else 'text'} frames")
        return read_frame(data, batch=self._batched)

    def _handle(self, message: Incoming | Refused) -> None:
        self._traffic.received += 1
        if self.closed or not self.session.admits(None if isinstance(message, Refused) else message.id):
            return
        match message:
            case Refused():
                self.session.refuse(message)
            case Ping():
                self.push(pong_to(message))
            case Pong():
                pass
            case _:
                if self._commands is None:
                    self._commands = deque()
                self._commands.append(message)
                if len(self._commands) >= MAX_COMMANDS_AHEAD:
                    self._wire.pause()
                self._wake()

    def pinged(self) -> bool:
        """Handle a ping of the WebSocket protocol; return True to answer it."""
        self._received_at = self._loop.time()
        return not self.closed and self.session.admits()

    def too_slow(self) -> None:
        """Close the socket: the peer does not read."""
        self.close(TOO_SLOW)

    def lost(self) -> None:
        """Close the socket: the peer is gone."""
        self.close(None)

    # --- work --------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._work is None and not self.closed:
            self._work = self._loop.create_task(self._process())

    async def _process(self) -> None:
        """Answer one message after another, until there is no more work."""
        try:
            while self._commands or self.session.needs_catch_up:
                while self._commands:
                    await self._answer(self._commands.popleft())
                await self.session.catch_up()
            self._commands = None
        except Exception:
            log.exception("a socket failed")
            self.close(INTERNAL_ERROR)
        finally:
            self._work = None

    async def _answer(self, message: Incoming) -> None:
        before = self.session.identity
        await self.session.handle(message)
        identity = self.session.identity
        if identity is not None and identity is not before:
            self._expires_at = identity.expires_at
            if before is None:
                self._ping_at = self._loop.time() + self._relay.ping_s
            self._schedule()
        if self._commands is not None and len(self._commands) < MAX_COMMANDS_AHEAD // 2:
            self._wire.resume()

    # --- timers ------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Schedule the next timer: a ping, or the end of the token."""
        self._deadline.cancel()
        if self.closed or self._expires_at is None:
            return
        expires_in_s = self._expires_at - self._relay.now()
        delay_s = max(0.0, min(self._ping_at - self._loop.time(), expires_in_s))
        self._deadline = self._loop.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        """Close a socket that does not authenticate, is silent, or has an expired token; ping it."""
        if self._expires_at is None and self._work is not None:
            # The client has sent its token; this node takes too long.
            self.close(close_codes.CAN_NOT_RECOVER)
            return
        if self._expires_at is None:
            self._send(Error(code="unauthenticated", message=close_codes.NOT_AUTHENTICATED.reason))
            self.close(close_codes.NOT_AUTHENTICATED)
            return
        if self._expires_at <= self._relay.now():
            self.close(close_codes.TOKEN_EXPIRED)
            return
        now = self._loop.time()
        if now >= self._ping_at:
            if now - self._received_at > SILENT_PERIODS * self._relay.ping_s:
                self.close(close_codes.NO_PONG)
                return
            self.push(PING)
            self._ping_at = now + self._relay.ping_s
        self._schedule()

    # --- close -------------------------------------------------------------------------------------------

    def close(self, close_reason: CloseReason | None) -> None:
        """Stop accepting messages; the first reason wins. None means that the peer is gone.

        The consequences follow in a later iteration of the loop: the caller may be in the middle of an
        operation.
        """
        if self.closed:
            return
        self.closed = True
        self.close_reason = close_reason
        self._deadline.cancel()
        self._loop.call_soon(self._end)

    def _end(self) -> None:
        if self._work is not None:
            self._work.cancel()
        self.session.close()
        close_reason = self.close_reason
        self._traffic.closed += 1
        if close_reason is None:
            self._relay.counters.left(self._wire.peer_code)
            self._wire.finish(None, 1000, "")
            return
        self._relay.counters.closed(close_reason.code)
        last = goodbye(close_reason) if close_reason.come_back else None
        self._wire.finish(last, close_reason.code, close_reason.reason[:100])

    def _send(self, message: ServerMessage) -> None:
        self.push(EncodedMessage(message.encode().encode()))
