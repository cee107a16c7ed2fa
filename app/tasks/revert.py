"""Revert: the event that returns a task to an earlier state, whoever changed it since.

It names the fields that differ, with their former values. What no longer fits the list is adapted: a stage
that is gone or has another category, and assignees who have left.
"""

from __future__ import annotations

from typing import Any

from app.errors import NotFound
from app.lists.members import kept
from app.lists.state import TaskList
from app.tasks.checks import stage_in
from app.tasks.commands import RevertTask
from app.tasks.decision_context import DecisionContext
from app.tasks.events import TaskReverted
from app.tasks.state import TASK_FIELDS, Task
from app.tasks.undo import NOT_UNDONE, check_possible

REVERTED_FIELDS = tuple(name for name in TASK_FIELDS if name not in NOT_UNDONE)


def revert(command: RevertTask, task: Task, context: DecisionContext) -> TaskReverted | None:
    """Return the task to its state in `context.change.before`; return None if nothing differs.

    Raise `NotFound` for an unknown version, and `Conflict` if the state is no longer possible.
    """
    if context.change is None or context.change.before is None:
        raise NotFound(f"the task has no version {command.version}")
    fields = reverted_fields(task, context.change.before, context.target or context.home)
    if not fields:
        return None
    check_possible(task, fields, context)
    return TaskReverted(command.version, fields)


def reverted_fields(task: Task, then: Task, home: TaskList | None) -> dict[str, Any]:
    """Return the fields in which a task differs from an earlier state, as that state fits the list `home`."""
    wanted = {name: getattr(then, name) for name in REVERTED_FIELDS} | adapted_fields(then, home)
    return {name: value for name, value in wanted.items() if value != getattr(task, name)}


def adapted_fields(then: Task, home: TaskList | None) -> dict[str, Any]:
    """Return the fields of an earlier state that no longer fit the list `home`, with values that do."""
    adapted: dict[str, Any] = {}
    if then.stage is not None and (stage := stage_in(home, then, None)) is not None:
        adapted["stage"] = stage
    if home is not None:
        members = kept(then.assignees, home)
        if len(members) < len(then.assignees):
            adapted["assignees"] = tuple(user for user in then.assignees if user in members)
    return adapted
