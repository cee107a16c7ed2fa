"""The commands that copy a list's tasks into a new list with the same stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from app.lists.events import Stage
from app.tasks.commands import CompleteTask, EditTask
from app.tasks.fields import FIELDS
from app.tasks.list_revert import depth_of
from app.tasks.state import Task

_PLACED = frozenset({"list_id", "parent_id"})
"""The fields that a caller sets, because a copy is in another list."""


def levels(tasks: Mapping[str, Task]) -> Iterable[Sequence[Task]]:
    """Yield the tasks level by level of the tree, the top first, each level in the manual order."""

    def depth(task: Task) -> int:
        return depth_of(task.id, tasks)

    for _, level in groupby(
        sorted(tasks.values(), key=lambda task: (depth(task), task.rank, task.id)), depth
    ):
        yield list(level)


def copied_fields(task: Task, stages: Sequence[Stage], user: str) -> dict[str, Any]:
    """Return the fields of the open copy of a task; it is finished by `finishing` if the task was done.

    Only `user` sees the copy, so others are not assigned to it. A task that was done does not recur: its next
    occurrence is a task of its own.
    """
    fields = {name: getattr(task, name) for name in FIELDS if name not in _PLACED}
    fields["assignees"] = tuple(each for each in task.assignees if each == user)
    if task.status == "done":
        fields["recurrence"] = None
    if task.status == "done" and _is_done_stage(task.stage, stages):
        fields["stage"] = None
    return {name: value for name, value in fields.items() if value != FIELDS[name].default}


def finishing(task: Task, stages: Sequence[Stage]) -> EditTask | CompleteTask | None:
    """Return the command that makes the copy of a task done, or None if the task was open."""
    if task.status == "open":
        return None
    return EditTask(stage=task.stage) if _is_done_stage(task.stage, stages) else CompleteTask()


def _is_done_stage(name: str | None, stages: Sequence[Stage]) -> bool:
    return any(stage["name"] == name and stage["category"] == "done" for stage in stages)
