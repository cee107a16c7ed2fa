"""Updates: what `task-updates` carries, one for every record of the log, ready to be relayed as it is.

An update is a CloudEvents 1.0 event in binary mode, as records are. Its value is a WebSocket message that
lacks only its channel: a relay puts `"channel":"…",` behind the first brace (`frame`) and never parses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from app.dates import format_time
from app.lists.state import TaskList
from app.log.fold import Changes, Folded, Outcome, State, channels
from app.log.recipients import notified
from app.log.records import Headers
from app.positions import Position
from app.tasks.state import Task
from app.users import User

_TASK = TypeAdapter(Task)
_LIST = TypeAdapter(TaskList)
_USER = TypeAdapter(User)
_ADAPTERS: Mapping[type[State], TypeAdapter[Any]] = {Task: _TASK, TaskList: _LIST, User: _USER}
UPDATE_SOURCE = b"/tasktape/projector"
_FIXED_HEADERS = (
    ("content-type", b"application/json"),
    ("ce_specversion", b"1.0"),
    ("ce_source", UPDATE_SOURCE),
)
_OUTCOMES: dict[str, Outcome] = {"accepted": "accepted", "superseded": "superseded", "parked": "parked"}


@dataclass(frozen=True, slots=True)
class Update:
    """One record's outcome: where it lies, whom it concerns, and the message to relay (`value`, JSON).

    `after` are positions of other partitions that have to be told first: those at which the lists of a task
    last changed. So nobody is told what happened in a list after they had left it.
    """

    position: Position
    stream: str
    event_id: str
    outcome: Outcome
    channels: tuple[str, ...]
    value: bytes
    time: str
    after: tuple[Position, ...] = ()


def state_json(state: State | None) -> bytes:
    """A state as the API shows it."""
    return b"null" if state is None else _ADAPTERS[type(state)].dump_json(state)


def state_from_json(kind: str, value: bytes | str) -> State:
    """Read what `state_json` wrote of a stream of this kind: `task`, `list` or `user`."""
    state: State = _KINDS[kind].validate_json(value)
    return state


_KINDS: Mapping[str, TypeAdapter[Any]] = {"task": _TASK, "list": _LIST, "user": _USER}


def changes_json(difference: Changes) -> bytes:
    """`{"field": [before, after]}`."""
    return to_json(difference)


def event_json(folded: Folded, data: bytes) -> bytes:
    """An event as the API shows it, without its changes; `data` is its data as JSON."""
    record, raw = folded.record, folded.raw
    return (
        to_json(
            {
                "id": record.id if record else None,
                "type": record.type if record else None,
                "stream": record.stream if record else raw.stream,
                "version": record.version if record else None,
                "position": str(raw.position),
                "outcome": folded.outcome,
                "reason": folded.reason,
                "time": record.time if record else None,
                "recorded_at": raw.recorded_at,
                "actor": record.actor if record else None,
                "source": record.source if record else None,
                "correlation_id": record.correlation_id if record else None,
                "causation_id": record.causation_id if record else None,
            }
        )[:-1]
        + b',"data":%s}' % data
    )


def assemble(folded: Folded, *, event: bytes, difference: bytes, state: bytes) -> Update:
    """Make an update of parts that the caller has encoded already."""
    record, raw = folded.record, folded.raw
    return Update(
        position=raw.position,
        stream=record.stream if record else raw.stream or "",
        event_id=record.id if record else "",
        outcome=folded.outcome,
        channels=tuple(channels(folded)),
        value=message(
            str(raw.position),
            event,
            difference,
            told_json(notified(record)) if record is not None and folded.outcome == "accepted" else b"",
            folded.after,
            b"null" if is_gone(folded.after) else state,
        ),
        time=format_time(raw.recorded_at),
    )


def is_gone(state: State | None) -> bool:
    """Whether there is nothing to show: no state, or a deleted one."""
    return state is None or state.deleted_at is not None


def told_json(told: Mapping[str, str]) -> bytes:
    """The part of a message that says who is notified, as what; nothing if nobody is."""
    return b'"notifications":%s,' % to_json(told) if told else b""


def message(
    position: str, event: bytes, difference: bytes, told: bytes, state: State | None, shown: bytes
) -> bytes:
    """The message of an update, of JSON parts; `shown` is the state's JSON, under `task` or `list`."""
    return b'{"type":"update","position":"%s","event":%s,"changes":%s,%s"task":%s,"list":%s}' % (
        position.encode(),
        event,
        difference,
        told,
        shown if isinstance(state, Task) else b"null",
        shown if isinstance(state, TaskList) else b"null",
    )


def frame(channel: str, value: bytes) -> bytes:
    """The WebSocket message for one channel: `value` with the channel put in front."""
    return b'{"channel":%s,%s' % (to_json(channel), value[1:])


def encode(update: Update) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """The key, value and headers that put `update` on `task-updates`."""
    position = str(update.position).encode()
    stream = update.stream.encode()
    headers: list[tuple[str, bytes]] = [
        *_FIXED_HEADERS,
        ("ce_id", position),
        ("ce_type", (stream.partition(b":")[0] or b"task") + b".update"),
        ("ce_subject", stream),
        ("ce_time", update.time.encode()),
        ("ce_position", position),
        ("ce_outcome", update.outcome.encode()),
        ("ce_eventid", update.event_id.encode()),
        ("ce_channels", " ".join(map(_escape, update.channels)).encode()),
    ]
    if update.after:
        headers.append(("ce_after", " ".join(map(str, update.after)).encode()))
    return stream, update.value, headers


def decode(headers: Headers, value: bytes) -> Update:
    """Read what `encode` wrote. Raises `KeyError`, `ValueError` or `Malformed` for what isn't an update."""
    attributes = {name: raw.decode() for name, raw in headers}
    return Update(
        position=Position.parse(attributes["ce_position"]),
        stream=attributes["ce_subject"],
        event_id=attributes["ce_eventid"],
        outcome=_OUTCOMES[attributes["ce_outcome"]],
        channels=tuple(_unescape(channel) for channel in attributes["ce_channels"].split(" ") if channel),
        value=value,
        time=attributes["ce_time"],
        after=tuple(map(Position.parse, attributes.get("ce_after", "").split())),
    )


def _escape(channel: str) -> str:
    """Channels are separated by spaces, and user names may contain some."""
    if "%" not in channel and " " not in channel:
        return channel
    return channel.replace("%", "%25").replace(" ", "%20")


def _unescape(channel: str) -> str:
    return channel.replace("%20", " ").replace("%25", "%")
