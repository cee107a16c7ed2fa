"""XES (IEEE 1849): a trace for each task, with its accepted events in order.

The name of a trace is the id of the task, because a case needs a name of its own. `tasktape:title` is the
title of the task when it was created. `tasktape import` reads it, and the exact events in `tasktape:data`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

import orjson

from api.export.activities import Case, TaskEvent
from api.export.encoders import Page
from app.dates import format_time
from app.log.event_json import RecordedEvent
from app.stream_ids import StreamId

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849.2016" xes.features="" xmlns="http://www.xes-standard.org/">
<extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
<extension name="Identity" prefix="identity" uri="http://www.xes-standard.org/identity.xesext"/>
<extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
<extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
<extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
<global scope="trace">
<string key="concept:name" value=""/>
</global>
<global scope="event">
<string key="concept:name" value=""/>
<string key="lifecycle:transition" value="complete"/>
<string key="org:resource" value=""/>
<date key="time:timestamp" value="1970-01-01T00:00:00Z"/>
</global>
<classifier name="Activity" keys="concept:name"/>
<string key="lifecycle:model" value="standard"/>
"""
_TAIL = "</log>\n"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters that XML 1.0 cannot contain, not even escaped."""
_LINES = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


class XesLog:
    """The encoder of an XES log. Its pages have the events of one task after the other."""

    def __init__(self) -> None:
        self._stream: StreamId | None = None
        self._case = Case()
        self._head = _HEAD

    def encode(self, page: Page) -> bytes:
        """See `Encoder.encode`."""
        return "".join([self._take_head(), *self._elements(page)]).encode()

    def end(self) -> bytes:
        """See `Encoder.end`."""
        end = "" if self._stream is None else "</trace>\n"
        return f"{self._take_head()}{end}{_TAIL}".encode()

    def _take_head(self) -> str:
        head, self._head = self._head, ""
        return head

    def _elements(self, page: Page) -> Iterator[str]:
        for event, list_id in page.events():
            if event.stream is None or event.stream.kind != "task":
                continue
            if event.stream != self._stream:
                if self._stream is not None:
                    yield "</trace>\n"
                self._stream, self._case = event.stream, Case()
                yield from _trace(event, list_id)
            yield from _event(self._case.next(event))


def _trace(first: RecordedEvent, list_id: str | None) -> Iterator[str]:
    assert first.stream is not None
    yield "<trace>\n"
    yield _attribute("string", "concept:name", first.stream.key)
    title = orjson.loads(first.data).get("title") if first.type == "task.created" else None
    if title:
        yield _attribute("string", "tasktape:title", title)
    if list_id is not None:
        yield _attribute("string", "tasktape:list_id", list_id)


def _event(found: TaskEvent) -> Iterator[str]:
    event = found.event
    assert event.time is not None
    yield "<event>\n"
    yield _attribute("string", "concept:name", found.activity)
    yield '<string key="lifecycle:transition" value="complete"/>\n'
    yield _attribute("string", "org:resource", event.actor or "")
    yield f'<date key="time:timestamp" value="{format_time(event.time)}"/>\n'
    yield _attribute("id", "identity:id", event.id or "")
    yield _attribute("string", "tasktape:type", event.type or "")
    yield _attribute("string", "tasktape:data", event.data.decode())
    yield f'<string key="tasktape:position" value="{event.position}"/>\n'
    yield "</event>\n"


def _attribute(kind: str, key: str, value: str) -> str:
    return f'<{kind} key="{key}" value={quoteattr(_NOT_XML.sub("�", value), _LINES)}/>\n'
