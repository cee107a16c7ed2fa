"""The JSON of events and of updates: made here only, from a record or from a row, and read here only.

`RecordedEvent` is the form between: the fold makes it from a record, the audit from a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from pydantic_core import from_json, to_json

from app.log.fold import Changes, Folded, Outcome
from app.log.records import Record, event_from_data
from app.positions import Position
from app.stream_ids import StreamId

NULL = b"null"
NO_CHANGES = b"{}"
_REPLAYED = re.compile(rb'^\{"channel":"[^"]*","at":"([^"]*)","type":"update","position":"([^"]*)"')
"""The beginning of an update in a replay."""


class RecordedEvent(NamedTuple):
    """An event of the log and its outcome, as clients see it; `data` and `changes` are JSON.

    The fields of a record that cannot be decoded are None, except those of the log, and perhaps `stream`.
    It is a named tuple, because one is made for every record: a frozen dataclass takes seven times as long.
    """

    id: str | None
    type: str | None
    stream: StreamId | None
    version: int | None
    position: Position
    outcome: Outcome
    reason: str | None
    time: datetime | None
    recorded_at: datetime
    actor: str | None
    source: str | None
    correlation_id: str | None
    causation_id: str | None
    data: bytes
    changes: bytes


class UpdateMessage(TypedDict):
    """A decoded update, as far as a server reads it; `task` or `list` is None if there is none to show."""

    event: dict[str, Any]
    changes: dict[str, tuple[Any, Any]]
    task: dict[str, Any] | None
    list: dict[str, Any] | None


def event_of(folded: Folded, data: bytes, changes: bytes) -> RecordedEvent:
    """Return the event of a folded record, whose data and changes the caller has already encoded."""
    record, raw = folded.record, folded.raw
    place = raw.position, folded.outcome, folded.reason
    if record is None:
        unknown = None, None, None, None
        return RecordedEvent(
            None, None, raw.stream, None, *place, None, raw.recorded_at, *unknown, data, changes
        )
    return RecordedEvent(
        record.id,
        record.type,
        record.stream,
        record.version,
        *place,
        record.time,
        raw.recorded_at,
        record.actor,
        record.source,
        record.correlation_id,
        record.causation_id,
        data,
        changes,
    )


def record_of(event: RecordedEvent, command_hash: str | None) -> Record | None:
    """Return the record that an event was made from; None if it could never be decoded."""
    if event.id is None or event.stream is None or event.version is None or event.time is None:
        return None
    assert event.type is not None
    return Record(
        id=event.id,
        stream=event.stream,
        version=event.version,
        time=event.time,
        actor=event.actor or "",
        source=event.source or "",
        data=event_from_data(event.type, event.data),
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        command_hash=command_hash,
    )


def envelope_of(event: RecordedEvent) -> dict[str, Any]:
    """Return the fields of an event in JSON, without its data and its changes."""
    return {
        "id": event.id,
        "type": event.type,
        "stream": None if event.stream is None else str(event.stream),
        "version": event.version,
        "position": str(event.position),
        "outcome": event.outcome,
        "reason": event.reason,
        "time": event.time,
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "source": event.source,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
    }


def event_json(event: RecordedEvent) -> bytes:
    """Return the JSON of an event with its changes, as in a history."""
    return to_json(envelope_of(event))[:-1] + b',"data":%s,"changes":%s}' % (event.data, event.changes)


def update_json(event: RecordedEvent, notified: bytes, shown: bytes, prefix: bytes = b"{") -> bytes:
    """Return the message of an update, which lacks only its channel.

    `notified` is JSON, `{"user": "kind"}`, or empty. `shown` is the JSON of the stream's state, or `null`.
    `prefix` is the brace, and perhaps the first fields.
    """
    envelope = envelope_of(event)
    return b'%s"type":"update","position":"%s","event":%s,"data":%s},"changes":%s,%s"task":%s,"list":%s}' % (
        prefix,
        envelope["position"].encode(),
        to_json(envelope)[:-1],
        event.data,
        event.changes,
        b'"notifications":%s,' % notified if notified else b"",
        *task_and_list(event.stream, shown),
    )


def task_and_list(stream: StreamId | None, shown: bytes) -> tuple[bytes, bytes]:
    """Return the values of `task` and `list` in a message: the state of the stream under its kind."""
    kind = None if stream is None else stream.kind
    return (shown if kind == "task" else NULL), (shown if kind == "list" else NULL)


def notified_json(recipients: Mapping[str, str]) -> bytes:
    """Return who is notified and as what, as JSON; empty if nobody is."""
    return to_json(recipients) if recipients else b""


def changes_json(difference: Changes) -> bytes:
    """Return changes as JSON: `{"field": [before, after]}`."""
    return to_json(difference)


def read_update(value: bytes) -> UpdateMessage:
    """Decode the result of `update_json`."""
    message: UpdateMessage = from_json(value)
    return message


def replayed_place(message: bytes) -> tuple[bytes, bytes] | None:
    """Return the time and the position of an update in a replay, without decoding it; None for others."""
    found = _REPLAYED.match(message)
    return None if found is None else (found[1], found[2])


def shown_json(update: bytes) -> bytes:
    """Return the JSON of the task or list in the result of `update_json`, or `null`, without decoding it.

    It is at the end. Neither a task nor a list has a member of these names with these values: the keys of a
    list's members may be any names, but their values are roles.
    """
    _, found, shown_list = update.rpartition(b'"task":null,"list":')
    if found:
        return shown_list[:-1]
    return update.rpartition(b'"task":')[2].removesuffix(b',"list":null}')
