"""Concurrent edits: the merge by field that `If-Match` asks for."""

from __future__ import annotations

from typing import Any

from app.errors import Conflict, PreconditionFailed
from app.tasks import (
    TASK_FIELDS,
    CompleteTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    Task,
    TaskCommand,
    wanted_fields,
)


def check(command: TaskCommand, base: Task, current: Task) -> None:
    """Check that `command`, meant for `base`, may still be applied to `current`.

    Fields that both sides changed, to different values, are a `Conflict`; disjoint fields merge.
    Deleting what has changed meanwhile is `PreconditionFailed`.
    """
    moved_on = {name for name in TASK_FIELDS if getattr(base, name) != getattr(current, name)}
    if isinstance(command, DeleteTask) and moved_on:
        raise PreconditionFailed(
            f"the task is at version {current.version} by now; read it before deleting it"
        )
    yours = _yours(command)
    overlap = sorted(name for name in yours if name in moved_on and yours[name] != getattr(current, name))
    if overlap:
        raise Conflict(
            f"somebody else changed {', '.join(overlap)} since version {base.version}",
            base={name: getattr(base, name) for name in overlap},
            theirs={name: getattr(current, name) for name in overlap},
            yours={name: yours[name] for name in overlap},
        )


def _yours(command: TaskCommand) -> dict[str, Any]:
    """The fields that a command sets, with their values."""
    match command:
        case EditTask():
            return wanted_fields(command)
        case MoveTask(list_id=list_id):
            return {"list_id": list_id}
        case CompleteTask():
            return {"status": "done"}
        case ReopenTask():
            return {"status": "open"}
        case _:
            return {}
