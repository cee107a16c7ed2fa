"""One event stream: a response to which a session's messages are written as they arrive."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex

import anyio
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http.problems import TooMany, problem
from api.protocol import close_codes
from api.protocol.client_messages import Authenticate, Subscribe
from api.protocol.close_codes import INTERNAL_ERROR, TOO_SLOW, CloseReason
from api.protocol.frames import Sendable
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.rate_limits import network_of
from api.relay.session import Session
from api.telemetry.counters import Transport
from api.transports.send_queue import SendQueue
from api.transports.sse.encoder import HEARTBEAT, EventText
from api.transports.websocket.uvicorn_protocol import ABORT
from api.transports.websocket.wire import CLOSE_TIMEOUT_S, SLOW_S
from app.positions import Positions, positions_to_json

log = structlog.get_logger(__name__)

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"
WRITTEN_AT_ONCE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The parameters of a stream's request."""

    user: str
    token: str
    channels: Sequence[str]
    since: Positions | None


class EventStream(Response):
    """The response, which ends with its token, when the node stops, or when its reader is too slow."""

    transport: Transport = "sse"

    def __init__(self, relay: Relay, connection_registry: ConnectionRegistry, action: StreamRequest) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers=HEADERS)
        del self.headers["content-length"]
        self._relay = relay
        self._connection_registry = connection_registry
        self._action = action
        self._send_queue = SendQueue()
        self._woken = asyncio.Event()
        self._session = Session(relay, self._send_queue, token_hex(16), self._woken.set)
        self._text = EventText(self._session, action.since)
        self._pieces: deque[bytes] = deque()
        """The bytes that are being written; what a cancelled write leaves here was not written."""
        self._traffic = relay.counters.traffic_of("sse", "json")

    @property
    def waiting_bytes(self) -> int:
        """See `ClientConnection.waiting_bytes`."""
        return self._send_queue.size + sum(map(len, self._pieces))

    @property
    def user(self) -> str:
        """See `ClientConnection.user`."""
        return self._action.user

    def close(self, close_reason: CloseReason | None) -> None:
        """See `ClientConnection.close`."""
        self._send_queue.close(close_reason)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until one side ends it, unless there are too many from this address."""
        addresses = self._relay.quotas.addresses
        address = network_of((scope.get("client") or ("",))[0])
        if not addresses.take(address):
            self._relay.counters.limited["address_connections"] += 1
            await problem(TooMany("there are too many connections from this address"))(scope, receive, send)
            return
        try:
            await self._serve(scope, receive, send)
        finally:
            addresses.release(address)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with self._connection_registry.present(self), self._counted():
            gone = asyncio.create_task(_gone(receive))
            parts = [
                asyncio.create_task(part)
                for part in (
                    self._ended(),
                    self._guarded(self._run_session()),
                    self._guarded(self._write(send)),
                )
            ]
            try:
                await asyncio.wait((gone, *parts), return_when=asyncio.FIRST_COMPLETED)
                await _cancelled(parts)
                self._session.close()
                if not gone.done():
                    await self._finish(scope, send, gone)
            finally:
                await _cancelled([gone, *parts])
                self._session.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the stream while it is open, and the reason of its end."""
        self._traffic.opened += 1
        try:
            yield
        finally:
            self._traffic.closed += 1
            close_reason = self._send_queue.close_reason
            if close_reason is None:
                self._relay.counters.left(None)
            else:
                self._relay.counters.closed(close_reason.code)

    # --- the session -------------------------------------------------------------------------------------

    async def _run_session(self) -> None:
        """Send the request's messages to the session, then follow the memberships of the user."""
        for message in self._messages():
            await self._session.handle(message)
        while True:
            await self._session.catch_up()
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
        """Write queued messages, and periodic comments, until the token expires or the reader is too slow."""
        while not self._expired():
            try:
                async with asyncio.timeout(self._wait_s()):
                    messages = await self._send_queue.first()
            except TimeoutError:
                self._pieces.append(HEARTBEAT)
            else:
                self._encode(messages)
            await self._send(send)
        self._send_queue.close(close_codes.TOKEN_EXPIRED)

    def _encode(self, messages: Sendable) -> None:
        """Encode the first queued messages."""
        self._pieces.extend(_joined(self._text.events(messages)))
        self._traffic.messages += messages.count
        self._send_queue.sent()

    def _expired(self) -> bool:
        identity = self._session.identity
        return identity is not None and identity.expires_at <= self._relay.now()

    def _wait_s(self) -> float:
        identity = self._session.identity
        if identity is None:
            return self._relay.ping_s
        return max(0.0, min(self._relay.ping_s, identity.expires_at - self._relay.now()))

    async def _send(self, send: Send) -> None:
        """Write the pieces, each within a time limit."""
        try:
            while self._pieces:
                async with asyncio.timeout(SLOW_S):
                    await send({"type": "http.response.body", "body": self._pieces[0], "more_body": True})
                self._traffic.size_bytes += len(self._pieces.popleft())
        except TimeoutError:
            self._send_queue.close(TOO_SLOW)

    async def _guarded(self, part: Awaitable[None]) -> None:
        """Run a part of the work; its failure ends only this stream."""
        try:
            await part
        except OSError:
            self._send_queue.close(None)
        except Exception:
            log.exception("an event stream failed")
            self._send_queue.close(INTERNAL_ERROR)

    async def _ended(self) -> None:
        await self._send_queue.ended()

    # --- close -------------------------------------------------------------------------------------------

    async def _finish(self, scope: Scope, send: Send, gone: asyncio.Task[None]) -> None:
        """Write the remaining messages and a goodbye, and end; abort a client that does not read."""
        close_reason = self._send_queue.close_reason
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


async def _gone(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
