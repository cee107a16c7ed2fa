"""The resume cursors of replays as event streams: the place after an update, or the end."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic_core import from_json

from api.protocol.replay_options import ReplayOptions
from app.errors import Malformed
from app.log.event_json import replayed_place
from app.values import instant
from projections.queries.replay import Place

END = "end"
"""The cursor after the end: there is nothing left to resume."""
_CURSOR = re.compile(r"^([^,]{1,40}),(\d{1,4}):(\d{1,18})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """The parameters of a replay's request; `after` is the place that the client has reached."""

    list_id: str
    options: ReplayOptions
    after: Place | None = None


def cursor_of(payload: bytes) -> tuple[bytes, bytes | None]:
    """Return the type of a message of a replay, and the cursor after it, if it has one."""
    place = replayed_place(payload)
    if place is not None:
        return b"update", b"%s,%s" % place
    message = from_json(payload)
    is_end = message.get("state") == "ended" and "reason" not in message
    return message["type"].encode(), END.encode() if is_end else None


def read_cursor(text: str) -> Place:
    """Parse a cursor of an update. Raise `Malformed`."""
    found = _CURSOR.match(text)
    if found is None:
        raise Malformed("Last-Event-ID: not the id of an event of a replay")
    try:
        time = instant(found[1])
    except ValueError as error:
        raise Malformed(f"Last-Event-ID: its time {error}") from None
    return Place(time, int(found[2]), int(found[3]))
