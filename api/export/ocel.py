"""OCEL 2.0, as JSON: events with their tasks, lists and users, and the values of these over time.

It takes two passes over the same pages: one for the events, and one for the objects. Neither is collected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from api.export.encoders import Page
from app.dates import format_time
from app.lists.state import LIST_FIELDS
from app.log.event_json import RecordedEvent
from app.log.records import EVENT_TYPES
from app.stream_ids import StreamId, list_stream, user_stream
from app.tasks.state import TASK_FIELDS

Json = dict[str, Any]
EVENT_ATTRIBUTES = ("event_id", "version", "actor", "source", "correlation_id", "causation_id", "data")
OBJECT_ATTRIBUTES: Mapping[str, Sequence[str]] = {
    "task": [name for name in TASK_FIELDS if name != "list_id"],
    "list": LIST_FIELDS,
    "user": (),
}


class OcelLog:
    """The encoder of an object-centric event log. Its pages have the events of one stream after the other."""

    def __init__(self) -> None:
        self._began = self._has_events = self._has_objects = False
        self._mentioned: set[StreamId] = set()
        """The lists and users that events name, whose own events may not be in the export."""
        self._object: _Object | None = None
        self._is_second = False

    def encode(self, page: Page) -> bytes:
        """See `Encoder.encode`."""
        encoded = self._objects_in(page) if self._is_second else self._events_in(page)
        return self._head() + b"".join(encoded)

    def end(self) -> bytes:
        """See `Encoder.end`."""
        if not self._is_second:
            self._is_second = True
            return self._head() + b'],"objects":['
        return b"".join(self._last_objects()) + b"]}\n"

    def _head(self) -> bytes:
        if self._began:
            return b""
        self._began = True
        return b'{"eventTypes":%s,"objectTypes":%s,"events":[' % (
            orjson.dumps([_type(name, EVENT_ATTRIBUTES) for name in EVENT_TYPES]),
            orjson.dumps([_type(name, attributes) for name, attributes in OBJECT_ATTRIBUTES.items()]),
        )

    # --- the first pass -----------------------------------------------------------------------------------

    def _events_in(self, page: Page) -> Iterator[bytes]:
        for event, list_id in page.events():
            related = list(_related(event, list_id))
            self._mentioned.update(stream for stream, _ in related if stream.kind != "task")
            yield (b",\n" if self._has_events else b"\n") + orjson.dumps(_event(event, related))
            self._has_events = True

    # --- the second pass ----------------------------------------------------------------------------------

    def _objects_in(self, page: Page) -> Iterator[bytes]:
        for event, list_id in page.events():
            assert event.stream is not None
            if self._object is None or self._object.stream != event.stream:
                yield from self._finished_object()
                self._object = _Object(event.stream)
            self._object.add(event, list_id)

    def _last_objects(self) -> Iterator[bytes]:
        yield from self._finished_object()
        for stream in sorted(self._mentioned):
            self._object = _Object(stream)
            yield from self._finished_object()

    def _finished_object(self) -> Iterator[bytes]:
        if self._object is not None:
            self._mentioned.discard(self._object.stream)
            yield (b",\n" if self._has_objects else b"\n") + orjson.dumps(self._object.as_json())
            self._has_objects = True
            self._object = None


class _Object:
    """An object with the values of its attributes over time."""

    def __init__(self, stream: StreamId) -> None:
        self.stream = stream
        self._attributes: list[Json] = []
        self._related: dict[StreamId, str] = {}

    def add(self, event: RecordedEvent, list_id: str | None) -> None:
        """Add what an event changed."""
        assert event.time is not None
        changes: Mapping[str, Any] = orjson.loads(event.changes)
        time, wanted = format_time(event.time), OBJECT_ATTRIBUTES[self.stream.kind]
        self._attributes += (
            {"name": name, "time": time, "value": _text(after)}
            for name, (_, after) in changes.items()
            if name in wanted
        )
        if self.stream.kind == "task" and list_id is not None:
            self._related[list_stream(list_id)] = "list"

    def as_json(self) -> Json:
        """Return the object."""
        return {
            "id": self.stream,
            "type": self.stream.kind,
            "attributes": self._attributes,
            "relationships": _relationships(self._related.items()),
        }


def _type(name: str, attributes: Iterable[str]) -> Json:
    return {"name": name, "attributes": [{"name": each, "type": "string"} for each in attributes]}


def _event(event: RecordedEvent, related: Iterable[tuple[StreamId, str]]) -> Json:
    assert event.time is not None
    values = {**event._asdict(), "event_id": event.id, "data": event.data.decode()}
    return {
        "id": str(event.position),
        "type": event.type,
        "time": format_time(event.time),
        "attributes": [{"name": name, "value": _text(values[name])} for name in EVENT_ATTRIBUTES],
        "relationships": _relationships(related),
    }


def _relationships(related: Iterable[tuple[StreamId, str]]) -> list[Json]:
    return [{"objectId": stream, "qualifier": qualifier} for stream, qualifier in related]


def _related(event: RecordedEvent, list_id: str | None) -> Iterator[tuple[StreamId, str]]:
    """Yield the objects that an event concerns, each with its role in it."""
    assert event.stream is not None
    yield event.stream, event.stream.kind
    if event.actor:
        yield user_stream(event.actor), "actor"
    if event.stream.kind != "task":
        return
    if list_id is not None:
        yield list_stream(list_id), "list"
    changes: Mapping[str, Any] = orjson.loads(event.changes)
    left, _ = changes.get("list_id", (None, None))
    if left is not None:
        yield list_stream(left), "left list"
    for user in changes.get("assignees", ((), ()))[1] or ():
        yield user_stream(user), "assignee"


def _text(value: object) -> str:
    """Return a value as text, empty if there is none: an attribute of OCEL has no null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
