"""Deciding what follows from causes: the read models are asked for all of them at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from app.lists.state import TaskList
from app.log.fold import State
from app.log.records import Record
from app.policies import SOURCE, Cause, Successor, event_id, follows
from app.tasks.state import Task

Decided = Record | Exception | None
"""What is to be appended; None if nothing is left to do; or why it can't be decided."""


class PolicyDecisionReads(Protocol):
    """What deciding asks of the read models."""

    async def successors(self, wanted: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], Successor]:
        """Those of the tasks that are there, each asked for by its id and the stream of its causes."""

    async def states(self, streams: Collection[str]) -> Mapping[str, State]:
        """The newest states of those of the streams that have one."""


async def decide(reads: PolicyDecisionReads, causes: Sequence[Cause], now: datetime) -> list[Decided]:
    """What follows from each of the causes. Raises what the database raises while it is away."""
    successors = await reads.successors([_wanted(cause) for cause in causes])
    completed = [cause for cause in causes if cause.task.status == "done"]
    around = {stream for cause in completed for stream in (cause.home, cause.parent) if stream}
    states = await reads.states(around) if around else {}
    return [_decided(cause, successors.get(_wanted(cause)), states, now) for cause in causes]


def _wanted(cause: Cause) -> tuple[str, str]:
    return cause.next_id or "", f"task:{cause.task.id}"


def _decided(
    cause: Cause, successor: Successor | None, states: Mapping[str, State], now: datetime
) -> Decided:
    home, parent = states.get(cause.home), states.get(cause.parent or "")
    try:
        event = follows(
            cause,
            successor,
            home if isinstance(home, TaskList) else None,
            parent if isinstance(parent, Task) else None,
        )
    except Exception as error:  # noqa: BLE001 - one that can't be decided keeps no other from it
        return error
    if event is None:
        return None
    return Record(
        id=event_id(cause, event.type),
        stream=f"task:{cause.next_id}",
        version=1 if successor is None else successor.task.version + 1,
        time=now,
        actor=cause.actor,
        source=SOURCE,
        data=event,
        correlation_id=cause.correlation_id,
        causation_id=cause.event_id,
    )
