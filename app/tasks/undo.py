"""Undo: the event that reverts the changes of an earlier one.

It names the fields with their previous values, so nothing is lost: undoing the undo restores the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.tasks.checks import check_children, check_parent, check_stage, parent_fits, stage_left
from app.tasks.commands import UndoChange
from app.tasks.decision_context import Change, DecisionContext, PastEvent
from app.tasks.events import (
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskReopened,
    TaskRestored,
    TaskReverted,
    TaskSkipped,
    TaskUndone,
)
from app.tasks.state import TASK_FIELDS, Task

NOT_UNDONE = frozenset({"comment_count", "reminded"})
"""Fields of a task that describe other data, such as its comments."""
LOOK_BACK = 100
"""The number of a task's newest events that are searched for the user's newest change."""
_CHANGES = frozenset(
    each.type
    for each in (
        *(TaskCreated, TaskEdited, TaskCompleted, TaskReopened, TaskMoved, TaskDeleted, TaskRestored),
        *(TaskSkipped, TaskReverted),
    )
)
"""The types of events that change something and are not an undo."""


def newest_change(past: Iterable[PastEvent], user: str) -> int | None:
    """Return the version of the user's newest change that still counts, of events ordered newest first.

    An undo and the change that it undid do not count. A change whose undo was undone counts again.
    """
    undone: set[int] = set()
    for event in past:
        if event.version in undone:
            continue
        if event.undid is not None:
            undone.add(event.undid)
        elif event.actor == user and event.type in _CHANGES:
            return event.version
    return None


def undo(command: UndoChange, task: Task, context: DecisionContext) -> TaskUndone | TaskDeleted | None:
    """Undo a change by the user, if it still holds and the task can have its previous values.

    Raise `NotFound`, `Forbidden` or `Conflict`, the latter with the fields that changed again since.
    """
    change = _found(command, task, context)
    if change.before is None:
        if task.deleted_at:
            return None
        check_children(context, "complete or delete them first")
        return TaskDeleted()
    fields = _fields(change, change.before)
    if task.deleted_at and "deleted_at" not in fields:
        raise NotFound("this task was deleted; restore it first")
    _check_holds(change, task, fields)
    check_possible(task, fields, context)
    if "deleted_at" in fields and fields["deleted_at"] is None:
        fields |= _adapted(command, task, context)
    return TaskUndone(change.after.version, fields)


def _adapted(command: UndoChange, task: Task, context: DecisionContext) -> dict[str, Any]:
    """Return the fields that no longer fit a restored task, with their new values."""
    adapted: dict[str, Any] = {}
    if (stage := stage_left(context.home, task)) is not None:
        adapted["stage"] = stage
    if not command.keep_parent and not parent_fits(task, context):
        adapted["parent_id"] = None
    return adapted


def _found(command: UndoChange, task: Task, context: DecisionContext) -> Change:
    change = context.change
    if change is None and command.version is None:
        raise Conflict("you have no change to undo")
    if change is None or change.after.version > task.version:
        raise NotFound(f"the task has no version {command.version}")
    if change.actor != context.user:
        raise Forbidden(f"this change is {change.actor}'s; you can undo only your own changes")
    return change


def _fields(change: Change, before: Task) -> dict[str, Any]:
    """Return the fields that the change changed, with their previous values."""
    fields = {
        name: value
        for name in TASK_FIELDS
        if name not in NOT_UNDONE and (value := getattr(before, name)) != getattr(change.after, name)
    }
    if not fields:
        raise Conflict("this change cannot be undone; a comment can be deleted")
    return fields


def _check_holds(change: Change, task: Task, fields: dict[str, Any]) -> None:
    since = [name for name in fields if getattr(task, name) != getattr(change.after, name)]
    if since:
        raise Conflict(
            f"{', '.join(since)} changed again since version {change.after.version}",
            base={name: getattr(change.after, name) for name in since},
            theirs={name: getattr(task, name) for name in since},
            yours={name: fields[name] for name in since},
        )


def check_possible(task: Task, fields: dict[str, Any], context: DecisionContext) -> None:
    """Check that earlier values of these fields are possible: parent and stage exist, no sub-task is open.

    Raise `Conflict`.
    """
    if fields.get("status") == "done" or fields.get("deleted_at") is not None:
        check_children(context, "complete or delete them first")
    list_id = fields.get("list_id", task.list_id)
    try:
        if "parent_id" in fields:
            check_parent(fields["parent_id"], list_id, task, context)
        if "stage" in fields or "list_id" in fields:
            check_stage(fields.get("stage", task.stage), context.target or context.home)
    except Invalid as error:
        raise Conflict(f"this can no longer be undone; {error.detail}") from None
