"""One Socket.IO client: its requests one after another, its bounded output in order, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Protocol

import anyio
from pydantic_core import from_json, to_json

from api.protocol import close_codes
from api.protocol.client_messages import Authenticate, Incoming
from api.protocol.close_codes import TOO_SLOW, CloseReason
from api.protocol.frames import EncodedMessage, Sendable
from api.protocol.server_messages import Error, goodbye
from api.relay.context import Relay
from api.telemetry.counters import Transport
from api.transports.connection_lifecycle import ConnectionLifecycle
from api.transports.send_queue import SendQueue
from api.transports.socket_io.packets import PACKET, HistoryFilter
from api.transports.websocket.connection import MAX_COMMANDS_AHEAD
from api.transports.websocket.wire import CLOSE_TIMEOUT_S
from app.errors import Unauthenticated, Unavailable

OTHER_USERS = CloseReason(close_codes.BAD_TOKEN, "the token is another user's")
_REPLY = b'{"id":'
"""The first bytes of each reply of the session."""
_ALSO_EVENTS = frozenset({"authenticated", "error", "replay"})
"""The types of answers that are also sent as events; that of a replay stands at its place among updates."""
MAX_WRITTEN_PACKETS = 256
MAX_WRITTEN_BYTES = 256 * 1024

Answer = dict[str, Any]


class ClientTransport(Protocol):
    """The connection of a client. It writes nothing until the client has joined the default namespace."""

    async def write(self, packets: list[bytes]) -> None:
        """Write packets, and wait until they are sent."""

    async def dismiss(self) -> None:
        """Tell the client not to reconnect."""

    def hang_up(self, close_reason: CloseReason | None) -> None:
        """End the connection; never wait."""


class SocketIoClient:
    """Serves one client until it is closed. It is its session's sink."""

    transport: Transport = "socketio"
    raw_socket = None
    """See `SessionSink.raw_socket`."""
    peer_code = None
    """See `Connection.peer_code`."""

    def __init__(self, relay: Relay, connection: ClientTransport) -> None:
        self._relay = relay
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._send_queue = SendQueue(lambda: self.close(TOO_SLOW))
        self._history_filter = HistoryFilter()
        self._turn = asyncio.Lock()
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        """The requests without an answer, by the ids of their messages to the session."""
        self._authenticating: asyncio.Task[Answer] | None = None
        self._work: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._traffic = relay.counters.traffic_of("socketio", "json")
        self._lifecycle = ConnectionLifecycle(relay, self, self._traffic)
        self._writing = self._loop.create_task(self._write())

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
        """Return the number of bytes that it has not accepted yet."""
        return self._send_queue.size

    def batch(self) -> None:
        """Do nothing: an event contains one message. See `SessionSink.batch`."""

    def beat(self) -> None:
        """Do nothing: Engine.IO pings its peers."""

    # --- output ------------------------------------------------------------------------------------------

    def push(self, messages: Sendable) -> None:
        """See `SessionSink.push`."""
        if self._answers and isinstance(messages, EncodedMessage) and messages.value.startswith(_REPLY):
            message = from_json(messages.value)
            self._answer(message.pop("id"), message)
            return
        self._send_queue.push(messages)

    async def writable(self) -> None:
        """See `SessionSink.writable`."""
        await self._send_queue.writable()

    async def _write(self) -> None:
        while True:
            await self._send_queue.first()
            await self._connection.write(await self._packets())

    async def _packets(self) -> list[bytes]:
        """Return queued packets, up to the limits of one write."""
        packets: list[bytes] = []
        size = 0
        while len(self._send_queue) and len(packets) < MAX_WRITTEN_PACKETS and size < MAX_WRITTEN_BYTES:
            messages = await self._send_queue.first()
            packets.extend(packet for packet in messages.forms(PACKET) if self._history_filter.wants(packet))
            size += messages.size
            self._send_queue.sent()
        self._traffic.messages += len(packets)
        self._traffic.size_bytes += sum(map(len, packets))
        return packets

    # --- requests ----------------------------------------------------------------------------------------

    def admits(self) -> bool:
        """Return True if it may send a message now; send rate-limited clients an error, or close."""
        self._traffic.received += 1
        return not self.closed and self._lifecycle.session.admits()

    def begin(self, token: object) -> None:
        """Authenticate with the token of the handshake, once that is answered."""
        self._authenticating = self._loop.create_task(self.authenticate(token, None))

    async def authenticate(self, token: object, user: object) -> Answer:
        """Authenticate; a given user must be the token's."""
        if not isinstance(token, str) or not (user is None or isinstance(user, str)):
            return self.refuse("malformed", "authenticate with {userId, token}, both of them text")
        # One at a time: clients subscribe to tasks without waiting for their authentication.
        return await self._in_turn(lambda number: self._authenticate(number, token, user))

    async def _authenticate(self, number: int, token: str, user: str | None) -> None:
        if user is not None and await self._is_other_users(token, user):
            error = Error(code="forbidden", message=OTHER_USERS.reason)
            self._answer(number, error.model_dump(exclude_none=True))
            self.close(OTHER_USERS)
        else:
            await self._lifecycle.handle(Authenticate(type="authenticate", id=number, token=token))

    async def _is_other_users(self, token: str, user: str) -> bool:
        try:
            return (await self._relay.verifier.verify(token)).user != user
        except (Unauthenticated, Unavailable):
            return False  # The session reports it.

    async def request(self, message: Incoming) -> Answer:
        """Send a message to the session, in turn, and return its answer."""
        return await self._in_turn(
            lambda number: self._lifecycle.handle(message.model_copy(update={"id": number}))
        )

    async def _in_turn(self, handle: Callable[[int], Awaitable[None]]) -> Answer:
        """Wait for the earlier requests, run `handle` with the id of this one, and return the answer."""
        if len(self._answers) >= MAX_COMMANDS_AHEAD:
            return self.refuse("too_many", "wait for answers before you ask for more")
        number = next(self._numbers)
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answers[number] = answer
        try:
            async with self._turn:
                if self.closed:
                    return _closed()
                self._work = self._loop.create_task(self._guarded(handle(number)))
                await asyncio.wait((self._work,))
            # A replay answers a control once it is carried out. The end of the connection answers the rest.
            return await answer
        finally:
            self._answers.pop(number, None)

    def _answer(self, number: int, message: Answer) -> None:
        """Answer a request; the answers of some types are also sent as events, which clients wait for."""
        if message["type"] == "authenticated":
            message = {"userId": message["user"], **message}
        if message["type"] in _ALSO_EVENTS:
            self._send_queue.push(EncodedMessage(to_json(message)))
        answer = self._answers.get(number)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def refuse(self, code: str, detail: str) -> Answer:
        """Send an error, and return it."""
        answer = Error(code=code, message=detail).model_dump(exclude_none=True)
        self._send_queue.push(EncodedMessage(to_json(answer)))
        return answer

    def wake(self) -> None:
        """See `Connection.wake`."""
        if self._catching_up is None and not self.closed:
            self._catching_up = self._loop.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        async with self._turn:
            self._catching_up = None
            self._work = self._loop.create_task(self._guarded(self._lifecycle.session.catch_up()))
            await asyncio.wait((self._work,))

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Run some work; its failure ends only this client."""
        try:
            await work
        except Exception as error:  # noqa: BLE001
            self._lifecycle.fail(error)

    # --- close -------------------------------------------------------------------------------------------

    def close(self, close_reason: CloseReason | None) -> None:
        """See `ConnectionLifecycle.close`."""
        self._lifecycle.close(close_reason)

    def finish(self, close_reason: CloseReason | None) -> None:
        """See `Connection.finish`."""
        self._send_queue.close(close_reason)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(_closed())
        for task in (self._authenticating, self._work, self._catching_up, self._writing):
            if task is not None:
                task.cancel()
        self._ending = self._loop.create_task(self._end(close_reason))

    async def _end(self, close_reason: CloseReason | None) -> None:
        if close_reason is not None and close_reason is not TOO_SLOW:
            with anyio.move_on_after(CLOSE_TIMEOUT_S):
                await self._write_end(close_reason)
        self._connection.hang_up(close_reason)

    async def _write_end(self, close_reason: CloseReason) -> None:
        """Write the remaining packets and a goodbye; dismiss a client that should not reconnect."""
        while len(self._send_queue):
            await self._connection.write(await self._packets())
        if close_reason.come_back:
            await self._connection.write([goodbye(close_reason).form(PACKET)])
        else:
            await self._connection.dismiss()


def _closed() -> Answer:
    return Error(code="closed", message="the connection ends").model_dump(exclude_none=True)
