"""One accepted socket: processes messages from its wire one after another.

A message is decoded when it arrives, so that a slow query never delays the detection of a pong. Commands are
executed by a task, one after another; the task only exists while there is work.
"""

from __future__ import annotations

import asyncio
from collections import deque

from api.protocol import close_codes
from api.protocol.client_messages import BadFrame, Incoming, Ping, Pong, Refused
from api.protocol.close_codes import TOO_SLOW, CloseReason
from api.protocol.decoding import read_frame
from api.protocol.frames import EncodedMessage, codec
from api.protocol.server_messages import PING, Error, goodbye, pong_to
from api.relay.context import Relay
from api.telemetry.counters import Transport
from api.transports.connection_lifecycle import ConnectionLifecycle
from api.transports.websocket.wire import Wire

MAX_COMMANDS_AHEAD = 64
SILENT_PERIODS = 2


class SocketConnection:
    """Serves one socket until it is closed. It is its session's sink, and its wire's listener."""

    transport: Transport = "websocket"

    def __init__(self, wire: Wire, relay: Relay, *, packed: bool = False) -> None:
        self._wire = wire
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        self._commands: deque[Incoming] | None = None
        self._work: asyncio.Task[None] | None = None
        self._received_at = self._loop.time()
        self._packed = packed
        self._batched = False
        self._traffic = relay.counters.traffic_of("websocket", "msgpack" if packed else "json")
        self._choose_codec()
        self.push = wire.push
        """See `SessionSink.push`."""
        self.raw_socket = wire.raw_socket
        self._lifecycle = ConnectionLifecycle(relay, self, self._traffic)
        self._session = self._lifecycle.session
        wire.listen(self, relay.hub.subscribers.recipients.clear)

    @property
    def user(self) -> str | None:
        """See `ClientConnection.user`."""
        return self._lifecycle.user

    @property
    def closed(self) -> bool:
        """See `SessionSink.closed`."""
        return self._lifecycle.closed

    @property
    def waiting_bytes(self) -> int:
        """Return the number of bytes that the peer has not accepted yet."""
        return self._wire.waiting_bytes

    @property
    def peer_code(self) -> int | None:
        """See `Connection.peer_code`."""
        return self._wire.peer_code

    def batch(self) -> None:
        """See `SessionSink.batch`."""
        self._batched = True
        self._choose_codec()
        self._relay.hub.subscribers.recipients.clear()

    def _choose_codec(self) -> None:
        chosen = codec(packed=self._packed, deflated=self._wire.deflates, batched=self._batched)
        self._wire.encode_with(chosen, self._traffic)

    async def writable(self) -> None:
        """See `SessionSink.writable`."""
        await self._wire.writable()

    # --- input -------------------------------------------------------------------------------------------

    def received(self, data: str | bytes) -> None:
        """Decode a frame, and queue its commands."""
        if self._lifecycle.closed:
            return
        self._received_at = self._loop.time()
        try:
            for message in self._messages(data):
                self._handle(message)
        except BadFrame as error:
            self.push(EncodedMessage(Error(code="malformed", message=str(error)).encode()))
            self.close(CloseReason(close_codes.BAD_MESSAGE, str(error)))
        except Exception as error:  # noqa: BLE001
            self._lifecycle.fail(error)

    def _messages(self, data: str | bytes) -> list[Incoming | Refused]:
        if isinstance(data, bytes) != self._packed:
            raise BadFrame(f"messages are {'binary' if self._packed else 'text'} frames")
        return read_frame(data, batch=self._batched)

    def _handle(self, message: Incoming | Refused) -> None:
        self._traffic.received += 1
        if self._lifecycle.closed:
            return
        if not self._session.admits(None if isinstance(message, Refused) else message.id):
            return
        match message:
            case Refused():
                self._session.refuse(message)
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
                self.wake()

    def pinged(self) -> bool:
        """Handle a ping of the WebSocket protocol; return True to answer it."""
        self._received_at = self._loop.time()
        return not self._lifecycle.closed and self._session.admits()

    def too_slow(self) -> None:
        """Close the socket: the peer does not read."""
        self.close(TOO_SLOW)

    def lost(self) -> None:
        """Close the socket: the peer is gone."""
        self.close(None)

    # --- work --------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Start to work, unless work is in progress."""
        if self._work is None and not self._lifecycle.closed:
            self._work = self._loop.create_task(self._process())

    async def _process(self) -> None:
        """Answer one message after another, until there is no more work."""
        try:
            while self._commands or self._session.needs_catch_up:
                while self._commands:
                    await self._lifecycle.handle(self._commands.popleft())
                    if self._commands is not None and len(self._commands) < MAX_COMMANDS_AHEAD // 2:
                        self._wire.resume()
                await self._session.catch_up()
            self._commands = None
        except Exception as error:  # noqa: BLE001
            self._lifecycle.fail(error)
        finally:
            self._work = None

    def beat(self) -> None:
        """Ping the peer, or close the socket if it is silent."""
        if self._loop.time() - self._received_at > SILENT_PERIODS * self._relay.ping_s:
            self.close(close_codes.NO_PONG)
        else:
            self.push(PING)

    # --- close -------------------------------------------------------------------------------------------

    def close(self, close_reason: CloseReason | None) -> None:
        """See `ConnectionLifecycle.close`."""
        self._lifecycle.close(close_reason)

    def finish(self, close_reason: CloseReason | None) -> None:
        """See `Connection.finish`."""
        if self._work is not None:
            self._work.cancel()
        if close_reason is None:
            self._wire.finish(None, 1000, "")
            return
        last = goodbye(close_reason) if close_reason.come_back else None
        self._wire.finish(last, close_reason.code, close_reason.reason[:100])
