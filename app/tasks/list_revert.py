"""The plan of returning a list's tasks to how they were: which tasks change, in which order.

Tasks that were open are reverted first, from the top of the tree down: each goes below a parent that is in
its place already, so no cycle can form. Tasks that were not in the list follow, the deepest first. Tasks that
were done come last, the deepest first, because a task can only be done when its sub-tasks are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from app.lists.state import TaskList
from app.tasks.checks import MAX_DEPTH
from app.tasks.commands import DeleteTask, RevertTask
from app.tasks.revert import adapted_fields, reverted_fields
from app.tasks.state import Task

Action = Literal["edited", "restored", "moved", "deleted"]
_ADAPTED = {
    "stage": "the list does not have this stage any longer, or it has another category",
    "assignees": "some of them are not members of the list any longer",
}


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A task that differs from its former state. `then` is None if it did not exist, or was deleted.

    `fields` are the fields that change, with their values afterwards.
    """

    task: Task
    then: Task | None
    fields: Mapping[str, Any]
    adapted: Mapping[str, str]
    """Field → the reason why it does not get its former value."""

    @property
    def action(self) -> Action:
        """The kind of the change."""
        if self.then is None:
            return "deleted"
        if self.task.deleted_at is not None:
            return "restored"
        return "moved" if "list_id" in self.fields else "edited"

    @property
    def command(self) -> RevertTask | DeleteTask:
        """The command that carries it out."""
        if self.then is None:
            return DeleteTask()
        return RevertTask(version=self.then.version, cascade="list_id" in self.fields)


def planned_changes(
    now: Mapping[str, Task], then: Mapping[str, Task], lists: Mapping[str, TaskList]
) -> list[PlannedChange]:
    """Return the changes of the tasks in `now` that differ from their states in `then`.

    Tasks that are missing or deleted in `then` become deleted. `lists` are the present states of all their
    lists.
    """
    changes = (_change(task, then.get(task.id), lists) for task in now.values())
    return [each for each in changes if each is not None]


def _change(task: Task, then: Task | None, lists: Mapping[str, TaskList]) -> PlannedChange | None:
    if then is None or then.deleted_at is not None:
        return None if task.deleted_at is not None else PlannedChange(task, None, {}, {})
    home = lists.get(then.list_id)
    fields = reverted_fields(task, then, home)
    adapted = {name: _ADAPTED[name] for name in adapted_fields(then, home)}
    return PlannedChange(task, then, fields, adapted) if fields else None


def in_order(
    changes: Sequence[PlannedChange], now: Mapping[str, Task], then: Mapping[str, Task]
) -> Iterable[Sequence[PlannedChange]]:
    """Yield groups of changes that are independent of each other, in the order in which to carry them out."""
    opened = [each for each in changes if each.then is not None and each.then.status == "open"]
    deleted = [each for each in changes if each.then is None]
    done = [each for each in changes if each.then is not None and each.then.status == "done"]
    yield from _levels(opened, lambda task_id: depth_of(task_id, then))
    yield from _levels(deleted, lambda task_id: -depth_of(task_id, now))
    yield from _levels(done, lambda task_id: -depth_of(task_id, then))


def _levels(changes: Iterable[PlannedChange], key: Callable[[str], int]) -> Iterable[Sequence[PlannedChange]]:
    def by_task(change: PlannedChange) -> int:
        return key(change.task.id)

    for _, level in groupby(sorted(changes, key=by_task), key=by_task):
        yield list(level)


def depth_of(task_id: str, tasks: Mapping[str, Task]) -> int:
    """Return the number of a task's ancestors among these; concurrent commands can make a cycle."""
    depth, task = 0, tasks.get(task_id)
    while task is not None and task.parent_id is not None and depth < 2 * MAX_DEPTH:
        depth, task = depth + 1, tasks.get(task.parent_id)
    return depth
