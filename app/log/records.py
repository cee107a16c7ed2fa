"""Records: events with their envelope, and their encoding in the log.

A record is a CloudEvents 1.0 event in the Kafka protocol binding's binary mode: attributes are headers with
the prefix `ce_`, the value is the event's JSON. Decoding raises only `Undecodable`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import quote

from pydantic import ValidationError

from app import users
from app.bounds import MAX_EVENT_BYTES, MAX_EVENT_ID_CHARS, MAX_NUMBER, MAX_USER_NAME_CHARS, Label, Many
from app.dates import format_time
from app.errors import MAX_REASON_CHARS, Undecodable, reason_of
from app.lists import events as list_events
from app.log.event_types import UPGRADE, EventTypes, event_types, invalid_part
from app.log.upcasters import UPCASTERS
from app.positions import Position
from app.quick_dataclasses import quickly_made
from app.stream_ids import StreamId
from app.tasks import events as task_events


@dataclass(frozen=True, slots=True)
class StreamResumed:
    """A control record: the parked records at `skipped` are skipped and their stream continues.

    It has no version and changes no state. It lifts the hold that a poison record put on a stream.
    """

    type: ClassVar[str] = "stream.resumed"
    skipped: Many[Label]


Event = task_events.TaskEvent | list_events.ListEvent | users.UserEvent | StreamResumed
Headers = Sequence[tuple[str, bytes | None]]
"""The headers of a message. A header without a value, which foreign records may have, counts as absent."""

EVENT_CLASSES: tuple[type[Event], ...] = (
    task_events.TaskCreated,
    task_events.TaskEdited,
    task_events.TaskCompleted,
    task_events.TaskReopened,
    task_events.TaskMoved,
    task_events.TaskDeleted,
    task_events.TaskRestored,
    task_events.TaskSkipped,
    task_events.TaskCommented,
    task_events.TaskCommentEdited,
    task_events.TaskCommentDeleted,
    task_events.TaskReminded,
    task_events.TaskUndone,
    task_events.TaskReverted,
    list_events.ListCreated,
    list_events.ListRenamed,
    list_events.ListEdited,
    list_events.ListDeleted,
    list_events.ListRestored,
    list_events.MemberAdded,
    list_events.MemberRoleChanged,
    list_events.MemberRemoved,
    list_events.ListHandedOver,
    users.NotificationsRead,
    users.NotificationsUnread,
    users.AllNotificationsRead,
    users.AuditRead,
    StreamResumed,
)
EVENT_TYPES: EventTypes[Event] = event_types(EVENT_CLASSES, UPCASTERS)
MAX_ATTRIBUTE_LENGTH = 2048
"""Characters. The source of an import contains a user's name, whose characters may take 12 when encoded."""
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""U+0000 in JSON, but not an escaped backslash followed by `u0000`."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Record:
    """An event with its envelope. `version` is its place in `stream`, from 1; control records have 0.

    `command_hash` is set if the command had an `Idempotency-Key`: it distinguishes a retry from a misuse.
    `reason` says why a policy did it.
    """

    id: str
    stream: StreamId
    version: int
    time: datetime
    actor: str
    source: str
    data: Event
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    command_hash: str | None = None
    retry_of: str | None = None
    reason: str | None = None

    @property
    def type(self) -> str:
        """The event type, such as `task.completed`."""
        return self.data.type


@quickly_made
@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record as stored in the log: bytes, with its position and the broker's timestamp."""

    position: Position
    recorded_at: datetime
    key: bytes | None
    headers: Headers
    value: bytes | None

    @property
    def timestamp_ms(self) -> int:
        """The broker's timestamp as Kafka keeps it, in milliseconds since 1970."""
        return round(self.recorded_at.timestamp() * 1000)

    @property
    def stream(self) -> StreamId | None:
        """The stream that the key names, or None for a foreign key."""
        try:
            return StreamId.parse((self.key or b"").decode())
        except UnicodeDecodeError:
            return None

    def decode(self) -> Record:
        """Decode the record. Raise `Undecodable`."""
        return decode(self.key, self.headers, self.value)


def source_of(*parts: str) -> str:
    """Return a `ce_source` under our root: a relative URI reference with percent-encoded names."""
    return "/" + "/".join(quote(part, safe="") for part in ("tasktape", *parts))


def encode(
    record: Record, types: EventTypes[Event] = EVENT_TYPES
) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Encode `record` as the key, value and headers of a message."""
    kind = types[record.data.type]
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", record.id.encode()),
        ("ce_type", kind.name.encode()),
        ("ce_source", record.source.encode()),
        ("ce_subject", record.stream.encode()),
        ("ce_time", format_time(record.time).encode()),
        ("ce_dataschema", kind.dataschema.encode()),
        ("ce_streamversion", str(record.version).encode()),
        ("ce_actor", record.actor.encode()),
    ]
    optional = (
        ("ce_correlationid", record.correlation_id),
        ("ce_causationid", record.causation_id),
        ("ce_traceparent", record.traceparent),
        ("ce_commandhash", record.command_hash),
        ("ce_retryof", record.retry_of),
        ("ce_reason", record.reason),
    )
    headers += [(name, value.encode()) for name, value in optional if value is not None]
    headers.append(("content-type", b"application/json"))
    # Defaults are omitted: readers replace an absent field by its default.
    value = kind.adapter.dump_json(record.data, exclude_defaults=True)
    return record.stream.encode(), value, headers


def decode(
    key: bytes | None, headers: Headers, value: bytes | None, types: EventTypes[Event] = EVENT_TYPES
) -> Record:
    """Decode the result of `encode`, in any schema version so far. Raise `Undecodable`."""
    try:
        return _decode(key, headers, value, types)
    except ValidationError as error:
        raise Undecodable(invalid_part(error)) from None
    except KeyError as error:
        raise Undecodable(f"no attribute {error.args[0]}"[:MAX_REASON_CHARS]) from None
    except (Undecodable, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it comes of the record
        raise Undecodable(reason_of(error)) from None


def _decode(key: bytes | None, headers: Headers, value: bytes | None, types: EventTypes[Event]) -> Record:
    attributes = {name: raw.decode() for name, raw in headers if raw is not None and name.startswith("ce_")}
    _check_attributes(attributes)
    kind, subject = attributes["ce_type"], attributes["ce_subject"]
    stream = _checked_stream(key, kind, subject, attributes, types)
    if value is None:
        raise Undecodable("no value")
    if len(value) > MAX_EVENT_BYTES:
        raise Undecodable(f"the value has {len(value)} bytes, and an event at most {MAX_EVENT_BYTES}")
    if b"\\u0000" in value and _ESCAPED_NUL.search(value):
        raise Undecodable("the value contains U+0000, which no read model can hold")
    version = int(attributes["ce_streamversion"])
    if not 0 <= version <= MAX_NUMBER or (version == 0) != (kind == StreamResumed.type):
        raise Undecodable(f"ce_streamversion {version} is out of range")
    time = datetime.fromisoformat(attributes["ce_time"])
    if time.tzinfo is None:
        raise Undecodable("ce_time has no offset")
    return Record(
        id=attributes["ce_id"],
        stream=stream,
        version=version,
        time=time if time.tzinfo is UTC else time.astimezone(UTC),
        actor=attributes["ce_actor"],
        source=attributes["ce_source"],
        data=types[kind].read(attributes["ce_dataschema"], value),
        correlation_id=attributes.get("ce_correlationid"),
        causation_id=attributes.get("ce_causationid"),
        traceparent=attributes.get("ce_traceparent"),
        command_hash=attributes.get("ce_commandhash"),
        retry_of=attributes.get("ce_retryof"),
        reason=attributes.get("ce_reason"),
    )


def _check_attributes(attributes: Mapping[str, str]) -> None:
    # One check of all of them together, because it runs for every record.
    together = "".join(attributes.values())
    if "\x00" in together:
        raise Undecodable("an attribute contains U+0000, which no read model can hold")
    if len(together) > MAX_ATTRIBUTE_LENGTH and max(map(len, attributes.values())) > MAX_ATTRIBUTE_LENGTH:
        raise Undecodable("an attribute is too long")
    if len(attributes["ce_id"]) > MAX_EVENT_ID_CHARS:
        raise Undecodable(f"ce_id has more than {MAX_EVENT_ID_CHARS} characters")
    if len(attributes["ce_actor"]) > MAX_USER_NAME_CHARS:
        raise Undecodable(f"ce_actor has more than {MAX_USER_NAME_CHARS} characters")


def _checked_stream(
    key: bytes | None, kind: str, subject: str, attributes: Mapping[str, str], types: EventTypes[Event]
) -> StreamId:
    """Check the envelope, and return the stream that it names."""
    if attributes["ce_specversion"] != "1.0":
        raise Undecodable("not CloudEvents 1.0")
    stream = StreamId.parse(subject)
    if key is None or stream is None or key.decode() != stream:
        raise Undecodable("the key is not the stream that ce_subject names")
    if kind not in types:
        hint = f"if a newer Tasktape wrote the record, {UPGRADE}"
        raise Undecodable(f"unknown event type {kind[:100]!r}; {hint}")
    if kind != StreamResumed.type and kind.partition(".")[0] != stream.kind:
        raise Undecodable(f"{kind} does not belong on {stream[:100]}")
    return stream


def event_from_data(kind: str, data: bytes) -> Event:
    """Decode the result of `event_data_json` for an event of this type."""
    return EVENT_TYPES[kind].adapter.validate_json(data)


def event_data_json(event: Event) -> bytes:
    """Return an event's data as JSON, as on the log."""
    return EVENT_TYPES[event.type].adapter.serializer.to_json(event, exclude_defaults=True)
