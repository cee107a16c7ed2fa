"""Messages as server-sent events, each update with the place that it takes its reader to."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_core import from_json

from api.protocol import messages as protocol
from api.protocol.close_codes import CloseReason
from api.protocol.frames import Codec, Sendable
from api.relay.session import Session
from api.transports.sse.last_event_id import ResumeCursor
from app.positions import Position, Positions

RETRY_MS = 1_000
SELDOM_MS = (30_000, 60_000)
HEARTBEAT = b": ping\n\n"


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


class EventText:
    """The text of one stream."""

    def __init__(self, session: Session, since: Positions | None) -> None:
        self._session = session
        self._resumes = since is not None
        self._bookmark = ResumeCursor(since)

    def events(self, messages: Sendable) -> Iterator[bytes]:
        """Messages as whole events."""
        for form in messages.forms(EVENT):
            position, _, event = form.partition(b"\n")
            if position:
                self._bookmark.pass_by(Position.parse(position.decode()))
                yield self._placed(event)
            else:
                yield self._other(event)

    def _placed(self, event: bytes) -> bytes:
        return b"%sid: %s\n\n" % (event, str(self._bookmark).encode())

    def _other(self, event: bytes) -> bytes:
        """An event that is no update. One that a `resync` may follow says nothing of having come further."""
        name, data, _ = event.split(b"\n", 2)
        match name:
            case b"event: authenticated":
                before = self._placed(event)
                self._bookmark.begin(
                    from_json(data.removeprefix(b"data: ")), whole=self._session.has_whole_lists
                )
                return b"retry: %d\n%s" % (RETRY_MS, before if self._resumes else self._placed(event))
            case b"event: subscribed":
                self._bookmark.begin(from_json(data.removeprefix(b"data: ")), whole=True)
        return event + b"\n"

    def goodbye(self, close_reason: CloseReason) -> bytes:
        """The last event; each stream comes back after a time of its own in the farewell's window."""
        # A browser comes back in any case; what it should not come back to is not asked often.
        first, last = close_reason.retry_after_ms if close_reason.come_back else SELDOM_MS
        retry_ms = first + int(self._session.id, 16) % (last - first + 1)
        _, _, event = protocol.goodbye(close_reason).form(EVENT).partition(b"\n")
        return b"retry: %d\n%s" % (retry_ms, self._placed(event))
