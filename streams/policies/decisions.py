"""Decisions on causes: one query reads the states for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from app.lists.state import TaskList
from app.log.fold import State
from app.log.records import Record
from app.policies import SOURCE, Cause, Successor, event_id, follows
from app.stream_ids import StreamId, task_stream
from app.tasks.state import Task

Decided = Record | Exception | None
"""The record to append; None if nothing is left to do; or the error of deciding."""


class PolicyDecisionReads(Protocol):
    """The queries that decisions need."""

    async def successors(
        self, wanted: Collection[tuple[str, StreamId]]
    ) -> Mapping[tuple[str, StreamId], Successor]:
        """Return those of the tasks that exist; each key is a task id and the stream of its causes."""

    async def states(self, streams: Collection[StreamId]) -> Mapping[StreamId, State]:
        """Return the newest states of those of the streams that have one."""


async def decide(reads: PolicyDecisionReads, causes: Sequence[Cause], now: datetime) -> list[Decided]:
    """Return the decision on each cause. Raise the database's errors while it is unavailable."""
    successors = await reads.successors([_wanted(cause) for cause in causes])
    completed = [cause for cause in causes if cause.task.status == "done"]
    around = {stream for cause in completed for stream in (cause.home, cause.parent) if stream}
    states = await reads.states(around) if around else {}
    return [_decided(cause, successors.get(_wanted(cause)), states, now) for cause in causes]


def _wanted(cause: Cause) -> tuple[str, StreamId]:
    return cause.next_id or "", task_stream(cause.task.id)


def _decided(
    cause: Cause, successor: Successor | None, states: Mapping[StreamId, State], now: datetime
) -> Decided:
    home, parent = states.get(cause.home), states.get(cause.parent) if cause.parent else None
    try:
        event = follows(
            cause,
            successor,
            home if isinstance(home, TaskList) else None,
            parent if isinstance(parent, Task) else None,
        )
    except Exception as error:  # noqa: BLE001 - a failed decision does not affect the others
        return error
    if event is None:
        return None
    return Record(
        id=event_id(cause, event.type),
        stream=task_stream(cause.next_id or ""),
        version=1 if successor is None else successor.task.version + 1,
        time=now,
        actor=cause.actor,
        source=SOURCE,
        data=event,
        correlation_id=cause.correlation_id,
        causation_id=cause.event_id,
    )
