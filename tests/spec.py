"""Specifications of decisions: given events, when a command, then events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.errors import TaskError
from app.lists import decide as list_decisions
from app.lists.commands import ListCommand
from app.lists.events import ListEvent
from app.lists.state import TaskList
from app.log import fold
from app.log.fold import State
from app.log.records import RawRecord, Record, encode
from app.positions import Position
from app.stream_ids import StreamId
from app.tasks import decide as task_decisions
from app.tasks.commands import TaskCommand
from app.tasks.decision_context import DecisionContext
from app.tasks.events import TaskEvent
from app.tasks.state import Task
from app.users import UserEvent
from tests.published_schemas import check_published

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
TASK_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
LIST_ID = "10000000-0000-4000-8000-000000000001"
OTHER_LIST_ID = "10000000-0000-4000-8000-000000000002"

KEYS = {"task": TASK_ID, "list": LIST_ID, "user": "alice"}
HOME = TaskList(LIST_ID, "Home", False, {"alice": "owner"}, (), 1, START, "alice", START)

DomainEvent = TaskEvent | ListEvent | UserEvent


def record_of(event: DomainEvent, version: int, **given: Any) -> Record:
    """Return a record of `event`, one minute a version after `START`, by alice unless `given` says
    otherwise."""
    kind = event.type.partition(".")[0]
    stream = StreamId(given.get("stream", f"{kind}:{KEYS[kind]}"))
    defaults: dict[str, Any] = {
        "id": f"{stream}-{version}",
        "stream": stream,
        "version": version,
        "time": START + timedelta(minutes=version - 1),
        "actor": "alice",
        "source": "/tasktape/api",
        "data": event,
    }
    return Record(**{**defaults, **given, "stream": stream})


def raw_of(record: Record, offset: int, partition: int = 0) -> RawRecord:
    """Return `record` as stored in the log at `partition:offset`."""
    key, value, headers = encode(record)
    return RawRecord(Position(partition, offset), START + timedelta(days=1), key, headers, value)


def state_after(*events: DomainEvent) -> State | None:
    """Return the state after these events."""
    state: State | None = None
    for version, event in enumerate(events, start=1):
        state = fold.evolve(state, record_of(event, version))
    return state


def task_after(*events: TaskEvent) -> Task:
    """Return the task after these events."""
    state = state_after(*events)
    assert isinstance(state, Task)
    return state


def list_after(*events: ListEvent) -> TaskList:
    """Return the list after these events."""
    state = state_after(*events)
    assert isinstance(state, TaskList)
    return state


def surroundings(**given: Any) -> DecisionContext:
    """Return the context of a decision: alice's, in a list of hers, unless `given` says otherwise."""
    defaults: dict[str, Any] = {"user": "alice", "now": START + timedelta(days=10), "home": HOME}
    return DecisionContext(**{**defaults, **given})


@dataclass(frozen=True)
class Given:
    """A history."""

    events: Sequence[DomainEvent]

    def when(self, command: TaskCommand | ListCommand, **around: Any) -> When:
        """Return a command on that history, by alice, ten days after `START`, unless `around` says
        otherwise."""
        return When(self.events, command, surroundings(**around))


@dataclass(frozen=True)
class When:
    """A history and a command to decide."""

    events: Sequence[DomainEvent]
    command: TaskCommand | ListCommand
    around: DecisionContext

    def decide(self) -> DomainEvent | None:
        """Return the decision. An event of it is valid by the published schema."""
        decided = self._decide()
        if decided is not None:
            check_published(decided)
        return decided

    def _decide(self) -> DomainEvent | None:
        state = state_after(*self.events)
        if isinstance(self.command, TaskCommand):
            assert state is None or isinstance(state, Task)
            return task_decisions.decide(self.command, state, self.around)
        assert state is None or isinstance(state, TaskList)
        return list_decisions.decide(self.command, state, self.around.user, self.around.occupied)

    def then(self, event: DomainEvent) -> DomainEvent:
        """Check that exactly this event is decided."""
        decided = self.decide()
        assert decided == event
        return decided

    def then_nothing(self) -> None:
        """Check that nothing is left to do."""
        assert self.decide() is None

    def then_refused(self, error: type[TaskError], match: str | None = None) -> None:
        """Check that the command is refused with this error."""
        with pytest.raises(error, match=match):
            self.decide()


def given(*events: DomainEvent) -> Given:
    """Begin a specification with a history."""
    return Given(events)
