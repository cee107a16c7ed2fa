"""Updates: the messages of `task-updates`, one for each record of the log, ready to be relayed unchanged.

An update is a CloudEvents 1.0 event in binary mode, as records are. Its value is a WebSocket message that
lacks only its channel (`event_json.update_json`). A relay inserts `"channel":"…",` after the first brace
(`frame`) and never parses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import SchemaSerializer, to_json

from app.channels import Channel
from app.dates import format_time
from app.lists.state import TaskList
from app.log.event_json import NULL, RecordedEvent, notified_json, update_json
from app.log.fold import Folded, Outcome, State, channels
from app.log.recipients import notified
from app.log.records import Headers
from app.positions import Position
from app.quick_dataclasses import quickly_made
from app.stream_ids import KINDS, NO_STREAM, StreamId
from app.tasks.state import Task
from app.users import User

_TASK = TypeAdapter(Task)
_LIST = TypeAdapter(TaskList)
_USER = TypeAdapter(User)
# Those of the adapters, whose own functions take another 0.9 µs for each state.
_SERIALIZERS: Mapping[type[State], SchemaSerializer] = {
    Task: _TASK.serializer,
    TaskList: _LIST.serializer,
    User: _USER.serializer,
}
UPDATE_SOURCE = b"/tasktape/projector"
_FIXED_HEADERS = (
    ("content-type", b"application/json"),
    ("ce_specversion", b"1.0"),
    ("ce_source", UPDATE_SOURCE),
)
_TYPES = {kind: f"{kind}.update".encode() for kind in KINDS}
_OUTCOMES: dict[str, Outcome] = {"accepted": "accepted", "superseded": "superseded", "parked": "parked"}


@quickly_made
@dataclass(frozen=True, slots=True)
class Update:
    """The outcome of one record: its position, its channels, and the message to relay (`value`, JSON).

    `after` are positions of other partitions that must be delivered first: those at which the lists of a task
    last changed. Former members therefore never receive a list's later updates. `generation` names the
    generation of the read models that has its rows; it is set when the update is emitted.
    """

    position: Position
    stream: StreamId
    event_id: str
    outcome: Outcome
    channels: tuple[Channel, ...]
    value: bytes
    time: str
    after: tuple[Position, ...] = ()
    generation: str = field(default="", compare=False)


def state_json(state: State | None) -> bytes:
    """Return a state as JSON, as in the API."""
    return NULL if state is None else _SERIALIZERS[type(state)].to_json(state)


def state_from_json(kind: str, value: bytes | str) -> State:
    """Decode the result of `state_json` for a stream of this kind: `task`, `list` or `user`."""
    state: State = _KINDS[kind].validate_json(value)
    return state


_KINDS: Mapping[str, TypeAdapter[Any]] = {"task": _TASK, "list": _LIST, "user": _USER}


def update_of(folded: Folded, event: RecordedEvent, state: bytes) -> Update:
    """Return the update of a folded record; `state` is the JSON of the state after it."""
    record = folded.record
    recipients = notified(record) if record is not None and folded.outcome == "accepted" else {}
    shown = NULL if is_gone(folded.after) else state
    return update_from_event(event, tuple(channels(folded)), notified_json(recipients), shown)


def update_from_event(
    event: RecordedEvent,
    channels: tuple[Channel, ...],
    notified: bytes,
    shown: bytes,
    after: tuple[Position, ...] = (),
) -> Update:
    """Return the update of an event for these channels; `notified` and `shown` are as in `update_json`."""
    return Update(
        position=event.position,
        stream=event.stream or NO_STREAM,
        event_id=event.id or "",
        outcome=event.outcome,
        channels=channels,
        value=update_json(event, notified, shown),
        time=format_time(event.recorded_at),
        after=after,
    )


def is_gone(state: State | None) -> bool:
    """Return whether there is nothing to show: no state, or a deleted one."""
    return state is None or state.deleted_at is not None


def frame(channel: Channel, value: bytes) -> bytes:
    """Return the WebSocket message for one channel: insert the channel at the front of `value`."""
    # As an exact string: that of a subclass takes ten times as long to encode.
    return b'{"channel":%s,%s' % (to_json(str(channel)), value[1:])


def encode(update: Update, generation: str = "") -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Encode `update` as the key, value and headers of a message of `task-updates`.

    `generation` names the generation of the read models that has its rows.
    """
    position = str(update.position).encode()
    stream = update.stream.encode()
    headers: list[tuple[str, bytes]] = [
        *_FIXED_HEADERS,
        ("ce_id", position),
        ("ce_type", _TYPES.get(update.stream.kind, _TYPES["task"])),
        ("ce_subject", stream),
        ("ce_time", update.time.encode()),
        ("ce_position", position),
        ("ce_outcome", update.outcome.encode()),
        ("ce_eventid", update.event_id.encode()),
        ("ce_channels", _channels_text(update.channels).encode()),
    ]
    if update.after:
        headers.append(("ce_after", " ".join(map(str, update.after)).encode()))
    if generation:
        headers.append(("ce_generation", generation.encode()))
    return stream, update.value, headers


def decode(headers: Headers, value: bytes) -> Update:
    """Decode the result of `encode`. Raise `KeyError`, `ValueError` or `Malformed` for anything else."""
    attributes = {name: raw.decode() for name, raw in headers if raw is not None}
    return Update(
        position=Position.parse(attributes["ce_position"]),
        stream=StreamId(attributes["ce_subject"]),
        event_id=attributes["ce_eventid"],
        outcome=_OUTCOMES[attributes["ce_outcome"]],
        channels=_channels_of(attributes["ce_channels"]),
        value=value,
        time=attributes["ce_time"],
        after=tuple(map(Position.parse, attributes.get("ce_after", "").split())),
        generation=attributes.get("ce_generation", ""),
    )


def _channels_text(channels: Sequence[Channel]) -> str:
    """Return channels separated by spaces; those in the names of users are escaped."""
    text = " ".join(channels)
    if "%" in text or text.count(" ") >= len(channels) > 0:
        return " ".join(channel.replace("%", "%25").replace(" ", "%20") for channel in channels)
    return text


def _channels_of(text: str) -> tuple[Channel, ...]:
    """Return the channels of a text that `_channels_text` returned."""
    names = text.split(" ") if text else []
    if "%" in text:
        names = [name.replace("%20", " ").replace("%25", "%") for name in names]
    return tuple(map(Channel, names))
