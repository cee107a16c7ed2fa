"""A streaming reader of XES event logs (IEEE 1849): one trace at a time, for files of any length.

It keeps only the data of tasks: the names of traces, and the activity, transition, resource and time of their
events. An unusable trace is refused with its line. Broken XML ends the reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isinf, isnan
from typing import NamedTuple
from xml.parsers import expat

from app.text.names import is_visible
from tasktape.importers.encodings import BadEncoding, as_utf8
from tasktape.importers.files import Damaged

NAME, TRANSITION, RESOURCE, TIME = "concept:name", "lifecycle:transition", "org:resource", "time:timestamp"
TITLE, TYPE, DATA = "tasktape:title", "tasktape:type", "tasktape:data"
"""The attributes of exports from Tasktape, with which an import makes the same events again."""
_WANTED = frozenset({NAME, TRANSITION, RESOURCE, TIME, TYPE, DATA})

TEXTS = frozenset({"string", "date", "id"})
"""The types of XES whose values are text, or are read as a time later."""
_INT = re.compile(r"^[+-]?[0-9]{1,20}\Z")
_FLOAT = re.compile(r"^([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(INF|inf)|NaN|nan)\Z")

MAX_TEXT_CHARS = 1_000
MAX_TAG_BYTES = 4 * 1_048_576
MAX_DEPTH = 200
MAX_TRACE_EVENTS = 100_000


class XesEvent(NamedTuple):
    """One event of a trace. An attribute is None if the event does not have it."""

    name: str | None
    transition: str | None
    resource: str | None
    time: datetime
    recorded: tuple[str, str] | None = None
    """The type and the data, as JSON, of an event that Tasktape exported."""


@dataclass(slots=True)
class XesTrace:
    """A complete, usable trace. `number` is its place in the file; `line` is where it begins."""

    number: int
    line: int
    name: str | None = None
    events: list[XesEvent] = field(default_factory=list)
    title: str | None = None
    """The title of the task in an export from Tasktape, whose name is the id of the task."""

    @property
    def label(self) -> str:
        """Return the name of the trace, or its place."""
        name = self.title or self.name
        return name if name and is_visible(name) else f"Trace {self.number}"


@dataclass(frozen=True, slots=True)
class Refused:
    """A part that cannot be imported, and why: a trace (by label), or None if it is outside of all traces.

    `ends` means that nothing after it could be read.
    """

    trace: str | None
    line: int
    reason: str
    ends: bool = False


class _Broken(Exception):
    """An error: the XML cannot be read any further."""


def read_xes(chunks: Iterable[bytes]) -> Iterator[XesTrace | Refused]:
    """Yield the traces of an XES file in order, each usable or refused. Raise `OSError`."""
    reader = _Reader()
    try:
        for chunk in as_utf8(chunks):
            reader.feed(chunk)
            yield from reader.take()
        reader.finish()
    except (expat.ExpatError, _Broken, Damaged, BadEncoding) as error:
        yield from reader.take()
        yield reader.broken(error)
    else:
        yield from reader.take()


class _Reader:
    """The state of the reading. The attributes of events are at depth 4: log, trace, event, attribute."""

    def __init__(self) -> None:
        parser = expat.ParserCreate("utf-8")  # as which it comes, whatever it declares
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype
        self._parser = parser
        self._fed_bytes = 0
        self._depth = 0
        self._traces = 0
        self._prefix = ""
        self._trace: XesTrace | None = None
        self._refusal: Refused | None = None
        self._event: dict[str, str] | None = None
        self._event_line = 0
        self._time_line = 0
        self._done: list[XesTrace | Refused] = []

    def feed(self, chunk: bytes) -> None:
        """Parse more bytes. Raise `expat.ExpatError` or `_Broken`."""
        self._parser.Parse(chunk)
        self._fed_bytes += len(chunk)
        # Expat keeps an unfinished tag or comment in memory, whatever its length.
        if self._fed_bytes - self._parser.CurrentByteIndex > MAX_TAG_BYTES:
            raise _Broken(f"a tag or comment of more than {MAX_TAG_BYTES >> 20} MiB")

    def finish(self) -> None:
        """Mark the end of the file. Raise `expat.ExpatError`."""
        self._parser.Parse(b"", True)

    def take(self) -> list[XesTrace | Refused]:
        """Return the traces that were finished since the last call."""
        done, self._done = self._done, []
        return done

    def broken(self, error: Exception) -> Refused:
        """Return the refusal that ends the reading, with the trace in which it ends."""
        trace = self._trace
        line = error.lineno if isinstance(error, expat.ExpatError) else self._parser.CurrentLineNumber
        reason = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else str(error)
        return Refused(trace.label if trace else None, line, reason, ends=True)

    # --- callbacks of expat: a large log makes a million calls -----------------------------------------

    def _start(self, tag: str, attributes: list[str]) -> None:
        depth = self._depth = self._depth + 1
        if depth == 4:
            if self._event is not None and len(attributes) == 4:
                self._event_attribute(tag, attributes)
        elif depth == 3:
            if self._trace is not None:
                self._child_of_trace(tag, attributes)
        elif depth == 2:
            self._child_of_log(tag)
        elif depth == 1:
            self._root(tag)
        elif depth > MAX_DEPTH:
            raise _Broken(f"elements are nested more than {MAX_DEPTH} deep")

    def _end(self, _: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if depth == 3:
            if self._event is not None:
                self._finish_event(self._event)
        elif depth == 2 and self._trace is not None:
            self._finish_trace(self._trace)

    def _doctype(self, *_: object) -> None:
        raise _Broken("a document type declaration, which an XES file has no use for")

    # --- the meaning of values ------------------------------------------------------------------------------

    def _root(self, tag: str) -> None:
        prefix, colon, name = tag.rpartition(":")
        if name != "log":
            raise _Broken(f"not an XES log: its root is <{tag[:40]}>")
        self._prefix = prefix + colon

    def _child_of_log(self, tag: str) -> None:
        if tag == self._prefix + "trace":
            self._traces += 1
            self._trace = XesTrace(self._traces, self._parser.CurrentLineNumber)
            self._refusal = None
        elif tag == self._prefix + "event":
            self._done.append(
                Refused(None, self._parser.CurrentLineNumber, "an event outside of every trace")
            )

    def _child_of_trace(self, tag: str, attributes: list[str]) -> None:
        assert self._trace is not None
        if tag == self._prefix + "event":
            self._event = {}
            self._event_line = self._parser.CurrentLineNumber
            return
        named = dict(zip(attributes[::2], attributes[1::2], strict=True))
        if named.get("key") in (NAME, TITLE):
            text = self._text(tag, named["key"], named.get("value", ""))
            name = None if text is None else " ".join(text.split())[:MAX_TEXT_CHARS] or None
            if named["key"] == NAME:
                self._trace.name = name
            else:
                self._trace.title = name

    def _event_attribute(self, tag: str, attributes: list[str]) -> None:
        assert self._event is not None
        first, key, _, value = attributes
        if first != "key":
            key, value = value, key
        if key not in _WANTED:
            return
        text = self._text(tag, key, value)
        if text is None:
            return
        self._event[key] = text if len(text) <= MAX_TEXT_CHARS or key == DATA else text[:MAX_TEXT_CHARS]
        if key == TIME:
            self._time_line = self._parser.CurrentLineNumber

    def _text(self, tag: str, key: str, value: str) -> str | None:
        """Return the text of an attribute, if it has one; what is not what it says refuses the trace."""
        kind = tag.removeprefix(self._prefix)
        if kind in TEXTS:
            return value
        try:
            return text_of(kind, value)
        except ValueError as error:
            if self._refusal is None:
                self._refuse(self._parser.CurrentLineNumber, f"{key} {value[:40]!r} {error}")
            return None

    def _finish_event(self, event: dict[str, str]) -> None:
        self._event = None
        trace = self._trace
        assert trace is not None
        if self._refusal is not None:
            return
        text = event.get(TIME)
        time = None if text is None else parse_time(text)
        if time is not None:
            recorded = (event[TYPE], event[DATA]) if TYPE in event and DATA in event else None
            trace.events.append(
                XesEvent(event.get(NAME), event.get(TRANSITION), event.get(RESOURCE), time, recorded)
            )
            if len(trace.events) > MAX_TRACE_EVENTS:
                self._refuse(self._event_line, f"more than {MAX_TRACE_EVENTS:,} events")
        elif text is None:
            self._refuse(self._event_line, f"an event without {TIME}")
        else:
            self._refuse(self._time_line, f"{TIME} {text[:40]!r} is not a date and time")

    def _refuse(self, line: int, reason: str) -> None:
        assert self._trace is not None
        # The label comes at the end of the trace: its name may stand behind its events.
        self._refusal = Refused(None, line, reason)
        self._trace.events.clear()

    def _finish_trace(self, trace: XesTrace) -> None:
        self._trace = None
        refusal = self._refusal
        self._done.append(trace if refusal is None else Refused(trace.label, refusal.line, refusal.reason))


def text_of(kind: str, value: str) -> str | None:
    """Return the text for a value of another type; None for a missing one.

    Raise `ValueError` for a value that does not fit its type, or of a type that names nothing.
    """
    if kind == "int":
        if not _INT.match(value.strip()):
            raise ValueError("is not an int")
        return value
    if kind == "float":
        number = float(value) if _FLOAT.match(value.strip()) else None
        if number is None or isinf(number):
            raise ValueError("is not a float that could be a name")
        # Tools for tables write it for an empty cell.
        return None if isnan(number) else value
    raise ValueError(f"is a <{kind[:20]}>, not text")


def parse_time(text: str) -> datetime | None:
    """Read an `xs:dateTime`; without an offset it is in UTC. Return None if it is invalid."""
    text = text.strip()
    if text[10:11] != "T" or len(text) < 19:
        return None
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            return time.replace(tzinfo=UTC)
        time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time
