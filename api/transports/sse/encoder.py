"""Encoding of messages as server-sent events, each update with the positions that are then reached."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_core import from_json

from api.protocol.close_codes import CloseReason
from api.protocol.frames import Codec, Sendable
from api.protocol.server_messages import goodbye
from api.relay.session import Session
from api.transports.sse.last_event_id import ResumeCursor
from app.positions import Position, Positions

RETRY_MS = 1_000
NO_RECONNECT_MS = (30_000, 60_000)
HEARTBEAT = b": ping\n\n"


def event_lines(name: bytes, payload: bytes) -> bytes:
    """Return a message as an event without `id:` and end."""
    # JSON may have line ends between its tokens, but a line of an event may not.
    return b"event: %s\ndata: %s\n" % (name, b" ".join(payload.splitlines()))


class _EventForm(Codec):
    """A message as an event without `id:` and end, after a line with the position of an update."""

    def frame(self, payload: bytes) -> bytes:
        """Return the event's first lines."""
        message = from_json(payload)
        position = message["position"] if message["type"] == "update" else ""
        return b"%s\n%s" % (position.encode(), event_lines(message["type"].encode(), payload))


EVENT = _EventForm()


class EventText:
    """Encodes the events of one stream."""

    def __init__(self, session: Session, since: Positions | None) -> None:
        self._session = session
        self._resumes = since is not None
        self._resume_cursor = ResumeCursor(since)

    def events(self, messages: Sendable) -> Iterator[bytes]:
        """Yield messages as complete events."""
        for form in messages.forms(EVENT):
            position, _, event = form.partition(b"\n")
            if position:
                self._resume_cursor.record(Position.parse(position.decode()))
                yield self._with_id(event)
            else:
                yield self._other(event)

    def _with_id(self, event: bytes) -> bytes:
        return b"%sid: %s\n\n" % (event, str(self._resume_cursor).encode())

    def _other(self, event: bytes) -> bytes:
        """Return an event that is not an update. One that `resync` may follow does not advance the id."""
        name, data, _ = event.split(b"\n", 2)
        match name:
            case b"event: authenticated":
                before = self._with_id(event)
                self._resume_cursor.begin(
                    from_json(data.removeprefix(b"data: ")), whole=self._session.has_whole_lists
                )
                return b"retry: %d\n%s" % (RETRY_MS, before if self._resumes else self._with_id(event))
            case b"event: subscribed":
                self._resume_cursor.begin(from_json(data.removeprefix(b"data: ")), whole=True)
        return event + b"\n"

    def goodbye(self, close_reason: CloseReason) -> bytes:
        """Return the last event; each stream reconnects after its own time within the reason's window."""
        # A browser always reconnects; where it should not, it does so seldom.
        first, last = close_reason.retry_after_ms if close_reason.come_back else NO_RECONNECT_MS
        retry_ms = first + int(self._session.id, 16) % (last - first + 1)
        _, _, event = goodbye(close_reason).form(EVENT).partition(b"\n")
        return b"retry: %d\n%s" % (retry_ms, self._with_id(event))
