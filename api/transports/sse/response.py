"""One event stream: a response to which a session's messages are written as they arrive."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http.problems import TooMany, problem
from api.protocol.client_messages import Authenticate, Subscribe
from api.protocol.close_codes import TOO_SLOW, CloseReason
from api.protocol.frames import Sendable
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.telemetry.counters import Transport
from api.transports.connection_lifecycle import Admission, ConnectionLifecycle
from api.transports.send_queue import SendQueue
from api.transports.sse.encoder import HEARTBEAT, EventText
from api.transports.websocket.uvicorn_protocol import ABORT
from api.transports.websocket.wire import CLOSE_TIMEOUT_S, SLOW_S
from app.channels import Channel
from app.positions import Positions, positions_to_json

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"
WRITTEN_AT_ONCE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The parameters of a stream's request."""

    user: str
    token: str
    channels: Sequence[Channel]
    since: Positions | None


class EventStream(Response):
    """The response. It is its session's sink, and ends with its token, with the node, or if nobody reads."""

    transport: Transport = "sse"
    raw_socket = None
    """See `SessionSink.raw_socket`."""
    peer_code = None
    """See `Connection.peer_code`."""

    def __init__(self, relay: Relay, connection_registry: ConnectionRegistry, action: StreamRequest) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers=HEADERS)
        del self.headers["content-length"]
        self._relay = relay
        self._connection_registry = connection_registry
        self._action = action
        self._send_queue = SendQueue(lambda: self.close(TOO_SLOW))
        self.push = self._send_queue.push
        """See `SessionSink.push`."""
        self._woken = asyncio.Event()
        self._pieces: deque[bytes] = deque()
        """The bytes that are being written; what a cancelled write leaves here was not written."""
        self._traffic = relay.counters.traffic_of("sse", "json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until one side ends it, unless there are too many from this address."""
        try:
            with Admission(self._relay, scope):
                await self._serve(scope, receive, send)
        except TooMany as refusal:
            await problem(refusal)(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        self._lifecycle = ConnectionLifecycle(self._relay, self, self._traffic)
        self._text = EventText(self._lifecycle.session, self._action.since)
        with self._connection_registry.present(self):
            left = asyncio.create_task(gone(receive))
            parts = [
                asyncio.create_task(part)
                for part in (
                    self._ended(),
                    self._guarded(self._run_session()),
                    self._guarded(self._write(send)),
                )
            ]
            try:
                await asyncio.wait((left, *parts), return_when=asyncio.FIRST_COMPLETED)
                self.close(None)  # Unless it has another reason, the client is gone.
                await cancelled(parts)
                if not left.done():
                    await self._write_end(scope, send, left)
            finally:
                await cancelled([left, *parts])
                self.close(None)

    # --- the connection (see connection_lifecycle.Connection) --------------------------------------------

    @property
    def waiting_bytes(self) -> int:
        """See `ClientConnection.waiting_bytes`."""
        return self._send_queue.size + sum(map(len, self._pieces))

    @property
    def user(self) -> str:
        """See `ClientConnection.user`."""
        return self._action.user

    @property
    def closed(self) -> bool:
        """See `SessionSink.closed`."""
        return self._lifecycle.closed

    def batch(self) -> None:
        """Do nothing: messages are written one by one."""

    def wake(self) -> None:
        """See `Connection.wake`."""
        self._woken.set()

    def beat(self) -> None:
        """Do nothing: a peer that is gone does not read, and the quiet stream has heartbeats."""

    async def writable(self) -> None:
        """See `SessionSink.writable`."""
        await self._send_queue.writable()

    def close(self, close_reason: CloseReason | None) -> None:
        """See `ConnectionLifecycle.close`."""
        self._lifecycle.close(close_reason)

    def finish(self, close_reason: CloseReason | None) -> None:
        """See `Connection.finish`."""
        self._send_queue.close(close_reason)

    # --- the session -------------------------------------------------------------------------------------

    async def _run_session(self) -> None:
        """Send the request's messages to the session, then follow the memberships of the user."""
        for message in self._messages():
            await self._lifecycle.handle(message)
        while True:
            await self._lifecycle.session.catch_up()
            await self._woken.wait()
            self._woken.clear()

    def _messages(self) -> Iterator[Authenticate | Subscribe]:
        action = self._action
        since = None if action.since is None else positions_to_json(action.since)
        yield Authenticate(type="authenticate", token=action.token, since=since)
        for number, channel in enumerate(dict.fromkeys(action.channels), 1):
            yield Subscribe(type="subscribe", id=number, channel=channel, since=since)

    # --- output ------------------------------------------------------------------------------------------

    async def _write(self, send: Send) -> None:
        """Write queued messages, and comments while there are none."""
        while True:
            try:
                async with asyncio.timeout(self._relay.ping_s):
                    messages = await self._send_queue.first()
            except TimeoutError:
                self._pieces.append(HEARTBEAT)
            else:
                self._encode(messages)
            await self._send(send)

    def _encode(self, messages: Sendable) -> None:
        """Encode the first queued messages."""
        self._pieces.extend(_joined(self._text.events(messages)))
        self._traffic.messages += messages.count
        self._send_queue.sent()

    async def _send(self, send: Send) -> None:
        """Write the pieces, each within a time limit."""
        try:
            while self._pieces:
                async with asyncio.timeout(SLOW_S):
                    await send({"type": "http.response.body", "body": self._pieces[0], "more_body": True})
                self._traffic.size_bytes += len(self._pieces.popleft())
        except TimeoutError:
            self.close(TOO_SLOW)

    async def _guarded(self, part: Awaitable[None]) -> None:
        """Run a part of the work; its failure ends only this stream."""
        try:
            await part
        except OSError:
            self.close(None)
        except Exception as error:  # noqa: BLE001
            self._lifecycle.fail(error)

    async def _ended(self) -> None:
        await self._send_queue.ended()

    # --- close -------------------------------------------------------------------------------------------

    async def _write_end(self, scope: Scope, send: Send, gone: asyncio.Task[None]) -> None:
        """Write the remaining messages and a goodbye, and end; abort a client that does not read."""
        close_reason = self._lifecycle.close_reason
        if close_reason is not None and close_reason is not TOO_SLOW:
            with anyio.move_on_after(CLOSE_TIMEOUT_S):
                while len(self._send_queue):
                    self._encode(await self._send_queue.first())
                self._pieces.append(self._text.goodbye(close_reason))
                await self._send(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
        abort = scope.get("extensions", {}).get(ABORT)
        if abort is not None:
            abort()
            await asyncio.wait([gone], timeout=CLOSE_TIMEOUT_S)


def _joined(events: Iterable[bytes]) -> Iterator[bytes]:
    """Yield events joined into pieces of about the size of one write."""
    some: list[bytes] = []
    size = 0
    for event in events:
        some.append(event)
        size += len(event)
        if size >= WRITTEN_AT_ONCE_BYTES:
            yield b"".join(some)
            some, size = [], 0
    if some:
        yield b"".join(some)


async def gone(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
