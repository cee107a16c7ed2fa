"""Concurrent edits: the merge by field that `If-Match` asks for.

Different fields merge. Of the same field, tags and assignees merge as sets, notes as text where the changes
lie apart; anything else that both sides changed to different values is a conflict.
"""

from __future__ import annotations

from typing import Any

from app.errors import Conflict, PreconditionFailed
from app.task_commands import (
    CompleteTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    TaskCommand,
    wanted_fields,
)
from app.tasks import TASK_FIELDS, Task
from app.text_merge import merge_texts

SETS = ("tags", "assignees")
ASIDE = frozenset({"comment_count", "reminded"})
"""What changes beside a task, and in nobody's way."""


def merged(command: TaskCommand, base: Task, current: Task) -> TaskCommand:
    """`command`, meant for `base`, as it is to be applied to `current`.

    Raises `Conflict` with the fields that can't be merged, and `PreconditionFailed` for deleting what has
    changed meanwhile.
    """
    moved_on = {name for name in TASK_FIELDS if getattr(base, name) != getattr(current, name)} - ASIDE
    if isinstance(command, DeleteTask) and moved_on:
        raise PreconditionFailed(
            f"the task is at version {current.version} by now; read it before deleting it"
        )
    yours = _yours(command)
    overlap = sorted(name for name in yours if name in moved_on and yours[name] != getattr(current, name))
    together = {name: _together(name, base, current, yours[name]) for name in overlap}
    apart = [name for name in overlap if together[name] is None]
    if apart:
        raise Conflict(
            f"somebody else changed {', '.join(apart)} since version {base.version}",
            base={name: getattr(base, name) for name in apart},
            theirs={name: getattr(current, name) for name in apart},
            yours={name: yours[name] for name in apart},
        )
    return command.model_copy(update=together) if together else command


def _yours(command: TaskCommand) -> dict[str, Any]:
    """The fields that a command sets, with their values."""
    match command:
        case EditTask():
            return wanted_fields(command)
        case MoveTask(list_id=list_id):
            return {} if list_id is None else {"list_id": list_id}
        case CompleteTask():
            return {"status": "done"}
        case ReopenTask():
            return {"status": "open"}
        case _:
            return {}


def _together(name: str, base: Task, current: Task, yours: Any) -> Any:
    """What both sides made of a field, in one; None if that can't be."""
    if name in SETS:
        return merge_sets(getattr(base, name), getattr(current, name), yours)
    return merge_texts(base.notes, current.notes, yours) if name == "notes" else None


def merge_sets(base: tuple[str, ...], theirs: tuple[str, ...], yours: tuple[str, ...]) -> tuple[str, ...]:
    """What was added and taken away on either side, on top of `theirs`, in its order."""
    taken = set(base) - set(yours)
    kept = [value for value in theirs if value not in taken]
    return (*kept, *(value for value in yours if value not in base and value not in kept))
