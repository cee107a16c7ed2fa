"""Server-sent events at `/api/stream`: the relay for places where sockets do not pass.

It is a session like that of a socket, whose client asks for everything at the start, by the request. Each
update has its `id:`, the positions that it takes the client to, which a browser sends when it comes back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import anyio
import structlog
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import protocol
from api.asking import query_of
from api.attendance import Attendance
from api.auth import Identity
from api.bookmark import Bookmark
from api.channels import list_behind
from api.counters import Transport
from api.edge import caller_of, token_of
from api.frames import Codec, Outgoing, Sendable
from api.http_protocol import ABORT
from api.outbox import TOO_SLOW, Farewell, Outbox
from api.protocol import INTERNAL_ERROR, Authenticate, Refused, Subscribe
from api.schemas import StreamQuery
from api.session import Relay, Session
from api.transport import FAREWELL_S, SLOW_S
from app.errors import Forbidden, Malformed, NotFound, TaskError, Unavailable
from app.positions import Position, Positions, parse_positions, positions_to_json

log = structlog.get_logger(__name__)

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"
RETRY_MS = 1_000
PING = b": ping\n\n"
WRITTEN_AT_ONCE_BYTES = 64 * 1024


class _EventForm(Codec):
    """A message as an event without `id:` and end, behind a line with the position of an update."""

    def frame(self, payload: bytes) -> bytes:
        """The event's first lines."""
        message = from_json(payload)
        position = message["position"] if message["type"] == "update" else ""
        # Line ends may be in JSON, between its tokens, but not in a line of an event.
        data = b" ".join(payload.splitlines())
        return b"%s\nevent: %s\ndata: %s\n" % (position.encode(), message["type"].encode(), data)


EVENT = _EventForm()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for."""

    user: str
    token: str
    channels: Sequence[str]
    since: Positions | None


async def stream(request: Request) -> Response:
    """GET /api/stream."""
    query = query_of(request, StreamQuery)
    relay: Relay = request.app.state.live.relay
    attendance: Attendance = request.app.state.live.attendance
    if relay.hub.partitions == 0:
        raise Unavailable("the relay is not there yet")
    caller = caller_of(request)
    for channel in query.channel:
        await _check_visible(relay, caller, channel)
    wish = Wish(caller.user, token_of(request), query.channel, _since(request, query, relay.hub.partitions))
    if request.method == "HEAD":
        return Response(media_type=MEDIA_TYPE, headers=HEADERS)
    return EventStream(relay, attendance, wish)


async def _check_visible(relay: Relay, caller: Identity, channel: str) -> None:
    """Refuse a channel before the stream begins, when that can still be a problem. Raises `TaskError`."""
    kinds: dict[str, type[TaskError]] = {"forbidden": Forbidden, "not_found": NotFound}
    try:
        await list_behind(relay.visibility, Subscribe(type="subscribe", channel=channel), caller)
    except Refused as refused:
        raise kinds.get(refused.code, Malformed)(f"channel: {refused.detail}") from None


def _since(request: Request, query: StreamQuery, partitions: int) -> dict[int, int] | None:
    """Where to resume: a client that comes back knows better than the address it began with."""
    last_id = request.headers.get("last-event-id")
    text = query.since if last_id is None else last_id
    if text is None:
        return None
    return protocol.read_since(positions_to_json(parse_positions(text)), partitions)


class EventStream(Response):
    """The answer, which ends when the token does, when the node stops, or when its reader is too slow."""

    transport: Transport = "sse"

    def __init__(self, relay: Relay, attendance: Attendance, wish: Wish) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers=HEADERS)
        del self.headers["content-length"]
        self._relay = relay
        self._attendance = attendance
        self._wish = wish
        self._outbox = Outbox()
        self._woken = asyncio.Event()
        self._bookmark = Bookmark(wish.since)
        self._session = Session(relay, self._outbox, uuid4().hex, self._woken.set)
        self._pieces: deque[bytes] = deque()
        """What is written right now: what a write that is given up leaves here was not written."""

    @property
    def waiting_bytes(self) -> int:
        """What its client has not taken yet."""
        return self._outbox.size

    @property
    def user(self) -> str:
        """See `Visitor.user`."""
        return self._wish.user

    def close(self, farewell: Farewell | None) -> None:
        """See `Visitor.close`."""
        self._outbox.close(farewell)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until one side ends it."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with self._attendance.present(self):
            gone = asyncio.create_task(_gone(receive))
            parts = [
                asyncio.create_task(part)
                for part in (self._ended(), self._careful(self._converse()), self._careful(self._write(send)))
            ]
            try:
                await asyncio.wait((gone, *parts), return_when=asyncio.FIRST_COMPLETED)
                await _cancelled(parts)
                self._session.close()
                if not gone.done():
                    await self._part(scope, send, gone)
            finally:
                await _cancelled([gone, *parts])
                self._session.close()

    # --- the conversation --------------------------------------------------------------------------------

    async def _converse(self) -> None:
        """Ask for what the request asks for, then follow the memberships of the user."""
        for message in self._messages():
            await self._session.handle(message)
        while True:
            await self._session.settle()
            await self._woken.wait()
            self._woken.clear()

    def _messages(self) -> Iterator[Authenticate | Subscribe]:
        wish = self._wish
        since = None if wish.since is None else positions_to_json(wish.since)
        yield Authenticate(type="authenticate", token=wish.token, since=since)
        for number, channel in enumerate(dict.fromkeys(wish.channels), 1):
            yield Subscribe(type="subscribe", id=number, channel=channel, since=since)

    # --- what is written ---------------------------------------------------------------------------------

    async def _write(self, send: Send) -> None:
        """Write what waits, and a comment now and then, until the token expires or the reader sleeps."""
        while not self._expired():
            try:
                async with asyncio.timeout(self._wait_s()):
                    messages = await self._outbox.first()
            except TimeoutError:
                self._pieces.append(PING)
            else:
                self._pieces.extend(_joined(self._events(messages)))
                self._outbox.sent()
            await self._send(send)
        self._outbox.close(protocol.TOKEN_EXPIRED)

    def _expired(self) -> bool:
        identity = self._session.identity
        return identity is not None and identity.expires_at <= self._relay.now()

    def _wait_s(self) -> float:
        identity = self._session.identity
        if identity is None:
            return self._relay.ping_s
        return max(0.0, min(self._relay.ping_s, identity.expires_at - self._relay.now()))

    async def _send(self, send: Send) -> None:
        """Write what is in pieces, each in a bounded time."""
        try:
            while self._pieces:
                async with asyncio.timeout(SLOW_S):
                    await send({"type": "http.response.body", "body": self._pieces[0], "more_body": True})
                self._pieces.popleft()
        except TimeoutError:
            self._outbox.close(TOO_SLOW)

    def _events(self, messages: Sendable) -> Iterator[bytes]:
        for form in messages.forms(EVENT):
            position, _, event = form.partition(b"\n")
            if position:
                self._bookmark.pass_by(Position.parse(position.decode()))
                yield b"%sid: %s\n\n" % (event, str(self._bookmark).encode())
            else:
                yield self._other(event)

    def _other(self, event: bytes) -> bytes:
        """An event that is no update. One that a `resync` may follow says nothing of having come further."""
        name, data, _ = event.split(b"\n", 2)
        match name:
            case b"event: authenticated":
                message = from_json(data.removeprefix(b"data: "))
                since = str(self._bookmark)
                self._bookmark.begin(message, whole=self._session.whole)
                reached = since if self._wish.since is not None else str(self._bookmark)
                return b"retry: %d\n%sid: %s\n\n" % (RETRY_MS, event, reached.encode())
            case b"event: subscribed":
                self._bookmark.begin(from_json(data.removeprefix(b"data: ")), whole=True)
        return event + b"\n"

    async def _careful(self, part: Awaitable[None]) -> None:
        """Do a part of the work; its failure ends this stream alone."""
        try:
            await part
        except OSError:
            self._outbox.close(None)
        except Exception:
            log.exception("an event stream failed")
            self._outbox.close(INTERNAL_ERROR)

    async def _ended(self) -> None:
        await self._outbox.ended()

    # --- the end -----------------------------------------------------------------------------------------

    async def _part(self, scope: Scope, send: Send, gone: asyncio.Task[None]) -> None:
        """Write what is left, say goodbye and end; who does not read is cut off."""
        farewell = self._outbox.farewell
        if farewell is not None and farewell is not TOO_SLOW:
            with anyio.move_on_after(FAREWELL_S):
                while len(self._outbox):
                    self._pieces.extend(_joined(self._events(await self._outbox.first())))
                    self._outbox.sent()
                self._pieces.append(self._goodbye(farewell))
                await self._send(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
        abort = scope.get("extensions", {}).get(ABORT)
        if abort is not None:
            abort()
            await asyncio.wait([gone], timeout=FAREWELL_S)

    def _goodbye(self, farewell: Farewell) -> bytes:
        """The last event; each stream comes back after a time of its own in the farewell's window."""
        first, last = farewell.retry_after_ms
        retry_ms = first + int(self._session.id, 16) % (last - first + 1)
        _, _, event = Outgoing(protocol.goodbye(farewell).value).form(EVENT).partition(b"\n")
        return b"retry: %d\n%sid: %s\n\n" % (retry_ms, event, str(self._bookmark).encode())


def _joined(events: Iterable[bytes]) -> Iterator[bytes]:
    """Events as pieces that are about as large as is written at once."""
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
    """Cancel tasks and wait until they ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
