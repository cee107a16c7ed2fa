"""Policies: rules that derive further events from accepted records.

There is one. When a recurring task is completed, its next occurrence is created. When the task is reopened,
that occurrence is deleted, unless a user changed it. A sub-task that was completed along with its parent does
not recur: it would be open below a completed task. Imported events are old events of other programs: nothing
follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from app.ids import derived_id
from app.lists.state import TaskList, first_stage
from app.log.fold import Folded
from app.log.records import source_of
from app.positions import Position
from app.stream_ids import StreamId, list_stream, task_stream
from app.tasks.events import (
    Series,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskRestored,
    TaskReverted,
)
from app.tasks.fields import EDITED_FIELDS
from app.tasks.series import next_id, next_occurrence
from app.tasks.state import Task, series_values

IMPORT_PREFIX = "/tasktape/import"
POLICY_PREFIX = "/tasktape/policy"
"""The prefix of the source of every event that a policy decided on."""
SOURCE = source_of("policy", "recurrence")


def reacts(folded: Folded) -> bool:
    """Return whether a policy must process this record: a recurring task was completed or reopened."""
    record, before, after = folded.record, folded.before, folded.after
    if folded.outcome != "accepted" or record is None or record.source.startswith(IMPORT_PREFIX):
        return False
    if not isinstance(before, Task) or not isinstance(after, Task):
        return False
    if isinstance(record.data, TaskReverted):
        return False  # Whoever reverts a task reverts its next occurrence too.
    return before.status != after.status and (after.recurrence or before.recurrence) is not None


@dataclass(frozen=True, slots=True)
class Cause:
    """An accepted event that another event follows from: its record's facts, and the task after it.

    `series` is the place in its series of the task that was completed or reopened. `came_along` says that it
    was completed along with its parent, by the same command.
    """

    position: Position
    event_id: str
    version: int
    actor: str
    correlation_id: str | None
    task: Task
    series: Series | None
    came_along: bool = False

    @property
    def next_id(self) -> str | None:
        """The id of the next occurrence, or None if there cannot be one."""
        return None if self.series is None else next_id(self.series)

    @property
    def home(self) -> StreamId:
        """The stream of the task's list."""
        return list_stream(self.task.list_id)

    @property
    def parent(self) -> StreamId | None:
        """The stream of the next occurrence's parent."""
        if self.series is None:
            return None
        parent_id = series_values(self.series).get("parent_id", self.task.parent_id)
        return None if parent_id is None else task_stream(parent_id)


@dataclass(frozen=True, slots=True)
class Successor:
    """The next occurrence in its present state.

    `touched` says whether a user, not a policy, changed it. `event_ids` are the ids of the policies' events
    on it. `newest_cause` is the version of the newest event of the previous task that any of them followed
    from, or 0.
    """

    task: Task
    touched: bool
    event_ids: frozenset[str]
    newest_cause: int


def event_id(cause: Cause, event_type: str) -> str:
    """Return the id of the event of this type that follows from `cause`; it is the same for each attempt."""
    return derived_id("policy", cause.event_id, event_type)


def follows(
    cause: Cause, successor: Successor | None, home: TaskList | None, parent: Task | None
) -> TaskEvent | None:
    """Return the event on the next occurrence that follows from `cause`, or None if nothing is left to do.

    `home` is the list of the cause's task, and `parent` the parent of the next occurrence. Call it again
    after the event was folded, because restoring what an earlier event removed takes several steps.
    """
    wanted = _wanted(cause, home, parent) if cause.task.status == "done" else None
    if successor is None:
        return wanted
    if successor.touched or successor.newest_cause > cause.version:
        return None
    event = _step(successor.task, wanted, is_wanted=cause.task.status == "done")
    return None if event is None or event_id(cause, event.type) in successor.event_ids else event


def _wanted(cause: Cause, home: TaskList | None, parent: Task | None) -> TaskCreated | None:
    """Return the next occurrence, or None if its parent was completed along with the task.

    A deleted list gets one like any other list, so that its series are complete if it is restored.
    """
    if home is None or cause.came_along:
        return None
    created = next_occurrence(cause.task, first_stage(home, "open", "active"))
    if created is None or created.parent_id is None:
        return created
    fits = parent is not None and parent.deleted_at is None and parent.list_id == created.list_id
    return created if fits else replace(created, parent_id=None)


def _step(task: Task, wanted: TaskCreated | None, *, is_wanted: bool) -> TaskEvent | None:
    """Return the next step that makes a task as wanted, or deletes it."""
    if not is_wanted:
        return TaskDeleted() if task.deleted_at is None else None
    return None if wanted is None or task.deleted_at is None else _restoring_step(task, wanted)


def _restoring_step(task: Task, wanted: TaskCreated) -> TaskMoved | TaskEdited | TaskRestored:
    """Return the next step from the deleted `task` to the wanted one; restoring is the last step."""
    if (task.list_id, task.rank) != (wanted.list_id, wanted.rank):
        return TaskMoved(wanted.list_id, rank=wanted.rank, parent_id=wanted.parent_id)
    fields: dict[str, Any] = {
        name: value for name in EDITED_FIELDS if (value := getattr(wanted, name)) != getattr(task, name)
    }
    return TaskEdited(fields) if fields else TaskRestored()
