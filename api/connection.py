"""One accepted socket: a reader, a writer, and the clock between them.

The reader only reads: what a message asks for is done by a task of its own, one message after another, so
that a slow query never keeps a pong from being seen. Whoever finds that the socket has to go closes its
outbox; that ends all of them, and what is left to say is said within a bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from uuid import uuid4

import anyio
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from api import protocol
from api.outbox import Farewell, Outbox
from api.protocol import INTERNAL_ERROR, BadFrame, Error, Incoming, Ping, Pong, Refused
from api.reading import read_frame
from api.session import Relay, Session

log = structlog.get_logger(__name__)

MAX_COMMANDS_AHEAD = 64
FAREWELL_S = 2.0
SILENT_PERIODS = 2
GONE = (WebSocketDisconnect, WebSocketDisconnected, OSError)


class Connection:
    """Serves one socket until someone closes its outbox."""

    def __init__(self, socket: WebSocket, relay: Relay) -> None:
        self._socket = socket
        self._relay = relay
        self.outbox = Outbox()
        self.gone = asyncio.Event()
        self._session = Session(relay, self.outbox, uuid4().hex)
        self._commands: deque[Incoming] = deque()
        self._room = asyncio.Event()
        self._heard_at = _now()

    async def run(self) -> None:
        """Serve until the outbox is closed, then take leave."""
        try:
            async with anyio.create_task_group() as group:
                for work in (self._read, self._write, self._converse, self._keep_time):
                    group.start_soon(self._guarded, work)
                farewell = await self.outbox.ended()
                group.cancel_scope.cancel()
            self._session.close()
            if farewell is not None:
                await self._part(farewell)
        finally:
            self._session.close()
            self.gone.set()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Whatever goes wrong ends this socket, and nothing else."""
        try:
            await work()
        except GONE:
            self.outbox.close(None)
        except Exception:
            log.exception("a socket failed")
            self.outbox.close(INTERNAL_ERROR)

    async def _read(self) -> None:
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                self.outbox.close(None)
                return
            self._heard_at = _now()
            try:
                await self._take(event.get("text"))
            except BadFrame as error:
                self.outbox.push(Error(code="malformed", message=str(error)).encode())
                self.outbox.close(Farewell(protocol.BAD_MESSAGE, str(error)))
                return

    async def _take(self, text: str | None) -> None:
        """Read a frame and put what it asks for in line; wait while the line is long."""
        if text is None:
            raise BadFrame("messages are text frames")
        (message,) = read_frame(text, batch=False)
        if isinstance(message, Refused):
            self._session.refuse(message)
        elif isinstance(message, Ping):
            self.outbox.push(protocol.pong_to(message))
        elif not isinstance(message, Pong):
            while len(self._commands) >= MAX_COMMANDS_AHEAD:
                self._room.clear()
                await self._room.wait()
            self._commands.append(message)
            self._session.work.set()

    async def _converse(self) -> None:
        while True:
            await self._session.work.wait()
            self._session.work.clear()
            while self._commands:
                await self._session.handle(self._commands.popleft())
                self._room.set()
            await self._session.settle()

    async def _write(self) -> None:
        while True:
            await self._socket.send_text(await self.outbox.first())
            # Only now: a write that is given up half-way leaves the frame where it was.
            self.outbox.sent()

    async def _keep_time(self) -> None:
        """Close a socket that doesn't authenticate, falls silent, or outlives its token; ping it."""
        with anyio.move_on_after(self._relay.authentication_s):
            await self._session.authenticated.wait()
        ping_s, ping_at = self._relay.ping_s, _now() + self._relay.ping_s
        while (identity := self._session.identity) is not None:
            expires_in = identity.expires_at - self._relay.now()
            if expires_in <= 0:
                self.outbox.close(protocol.TOKEN_EXPIRED)
                return
            if _now() >= ping_at:
                if _now() - self._heard_at > SILENT_PERIODS * ping_s:
                    self.outbox.close(protocol.NO_PONG)
                    return
                self.outbox.push(protocol.PING)
                ping_at += ping_s
            await asyncio.sleep(max(0.0, min(ping_at - _now(), expires_in)))
        self.outbox.push(Error(code="unauthenticated", message=protocol.NOT_AUTHENTICATED.reason).encode())
        self.outbox.close(protocol.NOT_AUTHENTICATED)

    async def _part(self, farewell: Farewell) -> None:
        """Send what waits, say goodbye and close; a peer that doesn't read gets as much as fits."""
        try:
            with anyio.move_on_after(FAREWELL_S):
                while len(self.outbox):
                    await self._socket.send_text(await self.outbox.first())
                    self.outbox.sent()
                if farewell.come_back:
                    await self._socket.send_text(protocol.goodbye(farewell))
                await self._socket.close(farewell.code, farewell.reason[:100])
        except (*GONE, RuntimeError):
            # It went first: then there is nobody to say goodbye to.
            log.debug("gone before the goodbye", code=farewell.code)


def _now() -> float:
    return asyncio.get_running_loop().time()
