"""One Socket.IO client: what it asks for, in turn, what it is sent, in order and bounded, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from typing import Any, Protocol

import anyio
import structlog
from pydantic_core import from_json, to_json

from api.protocol import close_codes
from api.protocol import messages as protocol
from api.protocol.close_codes import INTERNAL_ERROR, TOO_SLOW, CloseReason
from api.protocol.frames import EncodedMessage, Sendable
from api.protocol.messages import Authenticate, Error, Incoming, Subscribe, Unsubscribe
from api.relay.context import Relay
from api.relay.session import Session
from api.transports.send_queue import SendQueue
from api.transports.socket_io.packets import PACKET, Newest
from api.transports.websocket.connection import MAX_COMMANDS_AHEAD
from api.transports.websocket.wire import FAREWELL_S
from app.errors import Unauthenticated, Unavailable
from app.ids import is_uuid

log = structlog.get_logger(__name__)

_NO_TASK = "name a task by its id"
ANOTHERS = CloseReason(close_codes.BAD_TOKEN, "the token is another user's")
_ASKED = 1
"""The id of every message to the session: one is asked after another."""
MAX_WRITTEN_PACKETS = 256
MAX_WRITTEN_BYTES = 256 * 1024

Answer = dict[str, Any]


class ClientTransport(Protocol):
    """The connection below a client."""

    async def write(self, packets: list[bytes]) -> None:
        """Write packets, and wait until they are on their way."""

    async def dismiss(self) -> None:
        """Tell the client that it should not come back."""

    def hang_up(self, close_reason: CloseReason | None) -> None:
        """End the connection; never waits."""


class SocketIoClient:
    """Serves one client of the default namespace until someone closes it. It is its session's outlet."""

    raw_socket = None
    """See `relay.Outlet.direct`."""

    def __init__(self, relay: Relay, line: ClientTransport) -> None:
        self._relay = relay
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._send_queue = SendQueue()
        self._newest = Newest()
        self._turn = asyncio.Lock()
        self._in_line = 0
        self._asking = False
        self._answer: Answer | None = None
        self._beginning: asyncio.Task[Answer] | None = None
        self._work: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._traffic = relay.counters.traffic_of("socketio", "json")
        self._traffic.opened += 1
        self._session = Session(relay, self, token_hex(16), self._wake)
        self._writing = self._loop.create_task(self._write())
        self._deadline = self._loop.call_later(relay.authentication_s, self._tick)
        self.closed = False

    @property
    def user(self) -> str | None:
        """Whom it speaks for, once that is known."""
        identity = self._session.identity
        return None if identity is None else identity.user

    @property
    def waiting_bytes(self) -> int:
        """What it was given and has not taken yet."""
        return self._send_queue.size

    def batch(self) -> None:
        """See `relay.Outlet.batch`: an event has one message."""

    # --- what it is sent ---------------------------------------------------------------------------------

    def push(self, messages: Sendable) -> None:
        """See `relay.Outlet.push`."""
        if self._asking and isinstance(messages, EncodedMessage):
            message = from_json(messages.value)
            if message.get("id") == _ASKED:
                self._answered(message)
                return
        self._push(messages)

    def _push(self, messages: Sendable) -> None:
        if not self.closed and not self._send_queue.push(messages):
            self.close(TOO_SLOW)

    async def writable(self) -> None:
        """See `relay.Outlet.room`."""
        await self._send_queue.writable()

    async def _write(self) -> None:
        while True:
            await self._send_queue.first()
            await self._line.write(await self._packets())

    async def _packets(self) -> list[bytes]:
        """What waits, as far as it is written at once."""
        packets: list[bytes] = []
        size = 0
        while len(self._send_queue) and len(packets) < MAX_WRITTEN_PACKETS and size < MAX_WRITTEN_BYTES:
            messages = await self._send_queue.first()
            packets.extend(packet for packet in messages.forms(PACKET) if self._newest.wants(packet))
            size += messages.size
            self._send_queue.sent()
        self._traffic.messages += len(packets)
        self._traffic.size_bytes += sum(map(len, packets))
        return packets

    # --- what it asks for --------------------------------------------------------------------------------

    def admits(self) -> bool:
        """Whether it may send a message now; who floods is told so, and at last sent away."""
        self._traffic.received += 1
        return not self.closed and self._session.admits()

    def begin(self, token: object) -> None:
        """Authenticate with what came with the handshake, once that is answered."""
        self._beginning = self._loop.create_task(self.authenticate(token, None))

    async def authenticate(self, token: object, user: object) -> Answer:
        """Say who one is; a user that is given has to be the token's."""
        if not isinstance(token, str) or not (user is None or isinstance(user, str)):
            return self._refused("malformed", "authenticate with {userId, token}, both of them text")
        message = Authenticate(type="authenticate", id=_ASKED, token=token)
        # All in its turn: clients ask for tasks without waiting until they are let in.
        return await self._in_turn(lambda: self._let_in(message, user))

    async def _let_in(self, message: Authenticate, user: str | None) -> None:
        if user is not None and await self._is_anothers(message.token, user):
            self._answer = self._refused("forbidden", ANOTHERS.reason)
            self.close(ANOTHERS)
        else:
            await self._session.handle(message)

    async def _is_anothers(self, token: str, user: str) -> bool:
        try:
            return (await self._relay.verifier.verify(token)).user != user
        except (Unauthenticated, Unavailable):
            return False  # The session says so.

    async def subscribe(self, task_id: object) -> Answer:
        """Ask for what happens to a task."""
        if not isinstance(task_id, str) or not is_uuid(task_id):
            return self._refused("malformed", _NO_TASK)
        message = Subscribe(type="subscribe", id=_ASKED, channel=f"task:{task_id}")
        return {**await self._ask(message), "taskId": task_id}

    async def unsubscribe(self, task_id: object) -> Answer:
        """Give a task up."""
        if not isinstance(task_id, str) or not is_uuid(task_id):
            return self._refused("malformed", _NO_TASK)
        message = Unsubscribe(type="unsubscribe", id=_ASKED, channel=f"task:{task_id}")
        return {**await self._ask(message), "taskId": task_id}

    async def _ask(self, message: Incoming) -> Answer:
        """Ask the session, in its turn."""
        return await self._in_turn(lambda: self._session.handle(message))

    async def _in_turn(self, ask: Callable[[], Awaitable[None]]) -> Answer:
        """Ask when those before have their answers, and give the answer."""
        if self._in_line >= MAX_COMMANDS_AHEAD:
            return self._refused("too_many", "wait for answers before you ask for more")
        self._in_line += 1
        try:
            async with self._turn:
                self._answer, self._asking = None, True
                if not self.closed:
                    self._work = self._loop.create_task(self._careful(ask()))
                    await asyncio.wait((self._work,))
                return self._answer or Error(code="closed", message="the connection ends").model_dump(
                    exclude_none=True
                )
        finally:
            self._asking = False
            self._in_line -= 1

    def _answered(self, message: Answer) -> None:
        """Keep an answer for who asked; two kinds are events as well, as clients wait for them."""
        del message["id"]
        match message["type"]:
            case "authenticated":
                message = {"userId": message["user"], **message}
                self._see_to_expiry()
                self._push(EncodedMessage(to_json(message)))
            case "error":
                self._push(EncodedMessage(to_json(message)))
        self._answer = message

    def _refused(self, code: str, detail: str) -> Answer:
        answer = Error(code=code, message=detail).model_dump(exclude_none=True)
        self._push(EncodedMessage(to_json(answer)))
        return answer

    def _wake(self) -> None:
        if self._settling is None and not self.closed:
            self._settling = self._loop.create_task(self._settle())

    async def _settle(self) -> None:
        async with self._turn:
            self._settling = None
            self._work = self._loop.create_task(self._careful(self._session.catch_up()))
            await asyncio.wait((self._work,))

    async def _careful(self, work: Awaitable[None]) -> None:
        """Do some work; its failure ends this client alone."""
        try:
            await work
        except Exception:
            log.exception("a Socket.IO client failed")
            self.close(INTERNAL_ERROR)

    # --- the clock ---------------------------------------------------------------------------------------

    def _see_to_expiry(self) -> None:
        self._deadline.cancel()
        self._deadline = self._loop.call_later(0, self._tick)

    def _tick(self) -> None:
        """Close a client that doesn't authenticate, or outlives its token."""
        if self.closed:
            return
        identity = self._session.identity
        if identity is None:
            self._refused("unauthenticated", close_codes.NOT_AUTHENTICATED.reason)
            self.close(close_codes.NOT_AUTHENTICATED)
            return
        left_s = identity.expires_at - self._relay.now()
        if left_s <= 0:
            self.close(close_codes.TOKEN_EXPIRED)
            return
        self._deadline = self._loop.call_later(min(left_s, self._relay.ping_s), self._tick)

    # --- the end -----------------------------------------------------------------------------------------

    def close(self, close_reason: CloseReason | None) -> None:
        """Take nothing more, and end; the first reason given is the one that stays. None: it is gone.

        What follows from it follows a moment later: who closes may be in the middle of something.
        """
        if not self.closed:
            self.closed = True
            self._deadline.cancel()
            self._ending = self._loop.create_task(self._end(close_reason))

    async def _end(self, close_reason: CloseReason | None) -> None:
        self._send_queue.close(close_reason)
        tasks: list[asyncio.Task[Any] | None] = [self._beginning, self._work, self._settling, self._writing]
        for task in tasks:
            if task is not None:
                task.cancel()
        self._session.close()
        self._traffic.closed += 1
        if close_reason is None:
            self._relay.counters.left(None)
        else:
            self._relay.counters.closed(close_reason.code)
        if close_reason is not None and close_reason is not TOO_SLOW:
            with anyio.move_on_after(FAREWELL_S):
                await self._part(close_reason)
        self._line.hang_up(close_reason)

    async def _part(self, close_reason: CloseReason) -> None:
        """Write what is left, and a goodbye; who should not come back is dismissed."""
        while len(self._send_queue):
            await self._line.write(await self._packets())
        if close_reason.come_back:
            await self._line.write([protocol.goodbye(close_reason).form(PACKET)])
        else:
            await self._line.dismiss()


def said_by(data: object, *names: str) -> Mapping[str, object]:
    """The named members of an argument, None for those that are not there."""
    given = data if isinstance(data, dict) else {}
    return {name: given.get(name) for name in names}
