"""The fold: from the records of the log, in order, to states and outcomes. It is a pure function of the log.

A record is accepted if and only if its version is the next one of its stream and its id is new among the
stream's accepted records. Otherwise it is superseded and changes nothing. A record that cannot be read, or
cannot follow the state, is poison: it is parked and holds its stream, so that every later record of the
stream is parked behind it. Two facts of the log lift a hold: a `stream.resumed` control record, and a retry
of the record that caused it (see `Fold.apply`).

A record in a partition other than its stream's is parked by itself. The log gives it no place among the
stream's records, so it can neither follow one of them nor hold the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSet, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress
from operator import attrgetter, is_not
from typing import Any, Literal, NamedTuple

from app import users
from app.channels import Channel, list_channel, task_channel, user_channel
from app.errors import Undecodable, reason_of
from app.lists import events as list_events
from app.lists import evolve as list_evolve
from app.lists.members import affected_by
from app.lists.state import LIST_FIELDS, TaskList
from app.log.recipients import notified
from app.log.records import RawRecord, Record, StreamResumed
from app.quick_dataclasses import quickly_made
from app.stream_ids import StreamId
from app.tasks import events as task_events
from app.tasks import evolve as tasks
from app.tasks.state import TASK_FIELDS, Task
from app.users import User

State = Task | TaskList | User
Outcome = Literal["accepted", "superseded", "parked"]
Changes = dict[str, tuple[Any, Any]]
"""Field → (before, after), for the fields that differ."""
Home = Callable[[str], int]
"""Stream → the partition of its records."""


class Began(NamedTuple):
    """The times at which a version began: that of its event, and when the log recorded it."""

    time: datetime
    recorded_at: datetime


@quickly_made
@dataclass(frozen=True, slots=True)
class Folded:
    """The outcome of one record. `record` is None if it could not be read.

    `reason` says why it was not accepted; of an accepted record, why a policy appended it, if one did.

    `before` and `after` are the stream's states before and after it. For a superseded record both are the
    same. Of an accepted one, `began` says when the version before it began.
    """

    raw: RawRecord
    record: Record | None
    outcome: Outcome
    reason: str | None
    before: State | None
    after: State | None
    began: Began | None = None


@dataclass(slots=True)
class Fold:
    """The states of streams, and the rule that advances them.

    A caller that folds a part of the log provides the three collections as they were before that part, for
    the streams that occur in it: `states` by stream, `accepted` as (stream, event id), and `held`, which maps
    the streams on hold to the position, as text, of the record that caused the hold. Without `home` every
    record counts as in its stream's partition. `began` has the times of the newest versions of
    these streams.
    """

    states: MutableMapping[StreamId, State | None] = field(default_factory=dict)
    accepted: MutableSet[tuple[str, str]] = field(default_factory=set)
    held: MutableMapping[str, str] = field(default_factory=dict)
    home: Home | None = None
    began: MutableMapping[StreamId, Began] = field(default_factory=dict)

    def apply(self, raw: RawRecord, record: Record | Undecodable) -> Folded:
        """Fold the next record, which the caller has decoded."""
        stream = record.stream if isinstance(record, Record) else raw.stream
        if stream is not None and self._is_astray(raw, stream):
            return self._park_astray(raw, record)
        if isinstance(record, Undecodable):
            return self._park(raw, None, stream, record.detail)
        assert stream is not None
        if isinstance(record.data, StreamResumed):
            return self._resume(raw, record, record.data)
        state = self.states.get(stream)
        hold = self.held.get(stream)
        if hold is not None and record.retry_of != hold:
            return Folded(raw, record, "parked", f"behind {hold}", state, state)
        return self._fold(raw, record, state)

    def _fold(self, raw: RawRecord, record: Record, state: State | None) -> Folded:
        stream = record.stream
        if (stream, record.id) in self.accepted:
            self.held.pop(stream, None)
            return Folded(raw, record, "superseded", "duplicate", state, state)
        expected = 1 if state is None else state.version + 1
        if record.version != expected:
            self.held.pop(stream, None)
            reason = f"version {record.version}, expected {expected}"
            return Folded(raw, record, "superseded", reason, state, state)
        try:
            after = evolve(state, record)
        except Undecodable as error:
            return self._park(raw, record, stream, error.detail)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # one record must not keep all others from being folded
            return self._park(raw, record, stream, f"it cannot be folded: {reason_of(error)}")
        self.held.pop(stream, None)
        self.states[stream] = after
        self.accepted.add((stream, record.id))
        began = self.began.get(stream)
        self.began[stream] = Began(record.time, raw.recorded_at)
        return Folded(raw, record, "accepted", record.reason, state, after, began)

    def _resume(self, raw: RawRecord, record: Record, event: StreamResumed) -> Folded:
        state = self.states.get(record.stream)
        if self.held.get(record.stream) in event.skipped:
            del self.held[record.stream]
            return Folded(raw, record, "accepted", None, state, state)
        return Folded(raw, record, "superseded", "the stream is not held there", state, state)

    def _is_astray(self, raw: RawRecord, stream: StreamId) -> bool:
        return self.home is not None and self.home(stream) != raw.position.partition

    def _park_astray(self, raw: RawRecord, record: Record | Undecodable) -> Folded:
        """Park a record by itself; no state is known in its partition."""
        found = record if isinstance(record, Record) else None
        if found is not None and isinstance(found.data, StreamResumed):
            # It settles records parked in its partition. Holds on streams belong to other partitions.
            return Folded(raw, found, "superseded", "the stream is not held there", None, None)
        return Folded(raw, found, "parked", "it lies in another partition than its stream", None, None)

    def _park(self, raw: RawRecord, record: Record | None, stream: StreamId | None, reason: str) -> Folded:
        state = None if stream is None else self.states.get(stream)
        if stream is not None and (record is None or record.retry_of is None):
            self.held.setdefault(stream, str(raw.position))
        return Folded(raw, record, "parked", reason, state, state)


def evolve(state: State | None, record: Record) -> State:
    """Return the state after one more record of its stream. Raise `Undecodable` if it cannot follow."""
    event = record.data
    if isinstance(event, task_events.TaskEvent):
        _check_kind(event.type, state, Task)
        assert state is None or isinstance(state, Task)
        return tasks.evolve(state, event, stream_key=record.stream.key, time=record.time, actor=record.actor)
    if isinstance(event, list_events.ListEvent):
        _check_kind(event.type, state, TaskList)
        assert state is None or isinstance(state, TaskList)
        return list_evolve.evolve(
            state, event, stream_key=record.stream.key, time=record.time, actor=record.actor
        )
    if isinstance(event, users.UserEvent):
        _check_kind(event.type, state, User)
        assert state is None or isinstance(state, User)
        return users.evolve(state, event, stream_key=record.stream.key, time=record.time)
    raise Undecodable(f"{event.type} changes no state")


def _check_kind(event_type: str, state: State | None, kind: type[State]) -> None:
    if state is not None and not isinstance(state, kind):
        raise Undecodable(f"{event_type} on a stream of another kind")


def decoded(raw: RawRecord) -> Record | Undecodable:
    """Return the record, or the error that decoding it raises, as a value."""
    try:
        return raw.decode()
    except Undecodable as error:
        return error


def changes(before: State | None, after: State | None) -> Changes:
    """Return the fields that differ between two states of a stream, each with its value before and after.

    For the first state of a stream, return the fields that are not empty. Events of users contain everything.
    """
    if after is None or before is after or isinstance(after, User):
        return {}
    names, values_of = _FIELDS[type(after)]
    values = values_of(after)
    if before is None:
        return _given(zip(names, values, strict=True))
    former = values_of(before)
    # Most values are the same objects, and need not be compared.
    places = compress(range(len(names)), map(is_not, former, values))
    return {names[at]: (former[at], values[at]) for at in places if former[at] != values[at]}


def first_changes(kind: str, values: Mapping[str, Any]) -> Changes:
    """Return the same for the first state of a stream from the values in its JSON."""
    names = TASK_FIELDS if kind == "task" else LIST_FIELDS
    return _given((name, values[name]) for name in names)


def _given(values: Iterable[tuple[str, Any]]) -> Changes:
    return {name: (None, value) for name, value in values if value and value != UNSAID.get(name)}


_FIELDS: Mapping[type[State], tuple[Sequence[str], Callable[[State], tuple[Any, ...]]]] = {
    Task: (TASK_FIELDS, attrgetter(*TASK_FIELDS)),
    TaskList: (LIST_FIELDS, attrgetter(*LIST_FIELDS)),
}
UNSAID = {"recurrence_from": "due"}


def channels(folded: Folded) -> list[Channel]:
    """Return the channels that an accepted record concerns, in the order `user:`, `list:`, `task:`."""
    if folded.outcome != "accepted" or folded.after is None:
        return []
    after, before = folded.after, folded.before
    if isinstance(after, User):
        return [user_channel(after.id)]
    if isinstance(after, TaskList):
        users = affected_by(before if isinstance(before, TaskList) else None, after)
        return [*map(user_channel, users), list_channel(after.id)]
    recipients = sorted(notified(folded.record)) if folded.record is not None else []
    left = (
        [list_channel(before.list_id)] if isinstance(before, Task) and before.list_id != after.list_id else []
    )
    return [
        *(user_channel(user) for user in recipients),
        list_channel(after.list_id),
        *left,
        task_channel(after.id),
    ]
