"""The filters of the audit, each declared once: its name, how its text is read, and its documentation.

HTTP, the command line, exports and streams read their parameters by them. Their SQL is in
`projections/audit_search/conditions.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from app.audit.changed_values import CHANGED_FIELDS
from app.dates import format_time
from app.errors import Malformed
from app.ids import is_uuid
from app.log.records import EVENT_TYPES, MAX_ATTRIBUTE_LENGTH
from app.positions import Position
from app.search.conditions import SearchError
from app.search.parser import parse
from app.stream_ids import StreamId
from app.text.names import normal_user
from app.values import instant

OUTCOMES = ("accepted", "superseded", "parked")
MOST_VALUES = 50
"""The number of values of one filter."""
MOST_VALUE_CHARS = 2_048
_TYPE_PATTERN = re.compile(r"[a-z_.*]{1,100}")


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter. `read` parses a text or raises `ValueError`; `write` is its inverse.

    `attribute` is the field of `AuditQuery`. A repeatable one has several values, of which an event has one.
    """

    name: str
    attribute: str
    read: Callable[[str], Any]
    documentation: str
    example: str
    write: Callable[[Any], str] = str
    repeatable: bool = True


# --- values ----------------------------------------------------------------------------------------------


def nearest(wrong: str, known: Collection[str]) -> str:
    """Return a hint for a wrong name: the known one that is most like it, or else all of them."""
    close = get_close_matches(wrong[:100].casefold(), list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def _one_of(kind: str, known: Collection[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"{text[:100]!r} is no {kind}; {nearest(text, known)}")
        return text

    return read


def _type(text: str) -> str:
    if not types_like(text):
        raise ValueError(f"{text[:100]!r} matches no event type; {nearest(text, tuple(EVENT_TYPES))}")
    return text


def types_like(pattern: str) -> tuple[str, ...]:
    """Return the event types that a pattern matches, in which `*` stands for any characters."""
    if _TYPE_PATTERN.fullmatch(pattern) is None:
        return ()
    return tuple(name for name in EVENT_TYPES if fnmatchcase(name, pattern))


def _stream(text: str) -> StreamId:
    stream = StreamId.parse(text)
    if stream is None:
        raise ValueError(f"{text[:100]!r} is no stream; one looks like task:, list: or user:, and an id")
    return stream


def _list_id(text: str) -> str:
    if not is_uuid(text):
        raise ValueError("should be an id: a UUID in lower case")
    return text


def _user(text: str) -> str:
    return normal_user(_text(text))


def _text(text: str) -> str:
    if len(text) > MOST_VALUE_CHARS:
        raise ValueError(f"has more than {MOST_VALUE_CHARS:,} characters")
    return text


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except Malformed as error:
        raise ValueError(error.detail) from None


def _time(text: str) -> datetime:
    # In a query string, an unescaped `+` means a space.
    return instant(text.replace(" ", "+")).astimezone(UTC)


def _words(text: str) -> str:
    try:
        search = parse(text, me="")
    except SearchError as error:
        raise ValueError(error.message) from None
    if search.conditions:
        raise ValueError("takes words only; put text with a colon, @ or # in quotes")
    return text


# --- the filters -----------------------------------------------------------------------------------------

assert MOST_VALUE_CHARS >= MAX_ATTRIBUTE_LENGTH

_DECLARED = (
    Filter(
        "stream",
        "streams",
        _stream,
        "Events of this stream: `task:`, `list:` or `user:`, and an id",
        "task:0190f3c0-0000-7000-8000-000000000000",
    ),
    Filter(
        "list_id",
        "list_ids",
        _list_id,
        "Events of this list, of tasks in it, and of tasks that left it",
        "0190f3c0-0000-7000-8000-000000000004",
    ),
    Filter("actor", "actors", _user, "Events by this user", "alice"),
    Filter("type", "types", _type, "Events of this type; `*` stands for any characters", "task.*"),
    Filter(
        "outcome",
        "outcomes",
        _one_of("outcome", OUTCOMES),
        "Events with this outcome; without it, also superseded and parked ones",
        "superseded",
    ),
    Filter(
        "field",
        "fields",
        _one_of("field whose changes are recorded", CHANGED_FIELDS),
        "Events that changed this field",
        "stage",
    ),
    Filter(
        "from",
        "from_values",
        _text,
        "Events that replaced or removed this value of `field`; an empty text stands for no value",
        "Doing",
    ),
    Filter(
        "to",
        "to_values",
        _text,
        "Events that set or added this value of `field`; an empty text stands for no value",
        "Done",
    ),
    Filter(
        "correlation_id",
        "correlation_ids",
        _text,
        "Events of the request with this id, and those that policies answered them with",
        "0190f3c0-0000-7000-8000-000000000002",
    ),
    Filter(
        "causation_id",
        "causation_ids",
        _text,
        "Events caused by the event with this id",
        "0190f3c0-0000-7000-8000-000000000005",
    ),
    Filter("source", "sources", _text, "Events written by this program", "/tasktape/api"),
    Filter("position", "positions", _position, "The event at this position", "0:121"),
    Filter(
        "position_from",
        "position_from",
        _position,
        "Events at this position or after it, in the order of partitions and then of offsets",
        "0:100",
        repeatable=False,
    ),
    Filter("position_to", "position_to", _position, "Events before this position", "0:200", repeatable=False),
    Filter(
        "time_from",
        "time_from",
        _time,
        "Events at this time or after it, RFC 3339",
        "2026-11-01T00:00:00Z",
        format_time,
        repeatable=False,
    ),
    Filter(
        "time_to",
        "time_to",
        _time,
        "Events before this time, RFC 3339",
        "2026-12-01T00:00:00Z",
        format_time,
        repeatable=False,
    ),
    Filter(
        "recorded_from",
        "recorded_from",
        _time,
        "Events that the log recorded at this time or after it, RFC 3339",
        "2026-11-01T00:00:00Z",
        format_time,
        repeatable=False,
    ),
    Filter(
        "recorded_to",
        "recorded_to",
        _time,
        "Events that the log recorded before this time, RFC 3339",
        "2026-12-01T00:00:00Z",
        format_time,
        repeatable=False,
    ),
    Filter(
        "q",
        "q",
        _words,
        "Events with these words in a changed title, name, notes, stage or tag, before or after, or in a"
        ' comment. `"…"` finds consecutive words, `word*` a beginning; a minus excludes',
        '"heating oil" -cancelled',
        repeatable=False,
    ),
)
FILTERS: Mapping[str, Filter] = {each.name: each for each in _DECLARED}
"""The filters by name, in the order of the documentation."""
