"""The commands on tasks; `app.tasks.decide` makes their events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from app.tasks.fields import EDITED_FIELDS, FIELDS, InitialFields
from app.values import Command, CommentText, Label, ListId, Scope, TaskId, Uuid

if TYPE_CHECKING:

    class CreateTask(InitialFields, Command):
        """Command to create a task."""

        def __init__(self, **fields: Any) -> None: ...

    class TaskPatch(Command):
        """The fields to set."""

        stage: str | None = None
        parent_id: str | None = None

        def __init__(self, **fields: Any) -> None: ...

else:
    CreateTask = create_model(
        "CreateTask",
        __base__=Command,
        __doc__="Command to create a task; without `list_id` it goes to the caller's inbox.",
        **{name: (field.initial, ... if field.required else field.default) for name, field in FIELDS.items()},
    )
    TaskPatch = create_model(
        "TaskPatch",
        __base__=Command,
        __doc__="The fields to set (a JSON merge patch, RFC 7396); `null` clears a field.",
        **{name: (field.patch, "" if field.required else None) for name, field in EDITED_FIELDS.items()},
    )


class EditTask(TaskPatch):
    """Command to set the given fields.

    `scope` chooses the occurrences of a recurring task. If it is unset, a due date applies to this occurrence
    only and every other field to all following ones. `cascade` completes open sub-tasks too, if the stage
    completes the task.
    """

    scope: Scope | None = None
    cascade: bool = False

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None: ...


class CompleteTask(Command):
    """Command to complete the task; with `cascade`, with its open sub-tasks."""

    cascade: bool = False


class ReopenTask(Command):
    """Command to reopen the task."""


class NewPlace(Command):
    """The target place of a task: the list, the task before or after it, the stage.

    `before` and `after` are ids of tasks; if both are given, `after` counts. In another list, without them,
    it is the end.
    """

    list_id: ListId | None = None
    before: TaskId | None = None
    after: TaskId | None = None
    stage: Label | None = None


class MoveTask(NewPlace):
    """Command to move the task to another list, another place in the manual order, another stage.

    `cascade` completes open sub-tasks too, if the stage completes the task. `keep_parent` is for a sub-task
    that follows its parent to another list.
    """

    cascade: bool = False
    keep_parent: bool = False


class DeleteTask(Command):
    """Command to delete the task; it can be restored. With `cascade`, together with its sub-tasks."""

    cascade: bool = False


class RestoreTask(Command):
    """Command to restore a deleted task; with `cascade` also the sub-tasks that were deleted with it.

    `keep_parent` is for a sub-task whose parent is restored after it, by the same command.
    """

    cascade: bool = False
    keep_parent: bool = False


class SkipOccurrence(Command):
    """Command to skip this occurrence of a recurring task: the task moves on to the next date."""


class Comment(Command):
    """Command to comment on the task; `@name` mentions a member of its list."""

    comment_id: Uuid
    text: CommentText


class EditComment(Command):
    """Command to change the text of a comment."""

    comment_id: Uuid
    text: CommentText


class DeleteComment(Command):
    """Command to delete a comment."""

    comment_id: Uuid


class ChangeToUndo(Command):
    """A change by the caller to undo: the change by event `version`, or the newest that is not undone yet."""

    version: int | None = Field(None, ge=1, le=2**53)


class UndoChange(ChangeToUndo):
    """Command to undo a change by the caller.

    `keep_parent` is for a sub-task whose parent is restored after it, by the same command.
    """

    keep_parent: bool = False


class RevertTask(Command):
    """Command to return the task to its state after its first `version` events.

    With `cascade`, its sub-tasks follow it to another list.
    """

    version: int = Field(ge=1, le=2**53)
    cascade: bool = False


class RemindOfTask(Command):
    """Command to fire the reminder that is due at the instant `at`."""

    at: str


TaskCommand = (
    CreateTask
    | EditTask
    | CompleteTask
    | ReopenTask
    | MoveTask
    | DeleteTask
    | RestoreTask
    | SkipOccurrence
    | Comment
    | EditComment
    | DeleteComment
    | UndoChange
    | RevertTask
    | RemindOfTask
)


def wanted_fields(command: EditTask) -> dict[str, Any]:
    """Return the fields that an edit names, with `null` replaced by each field's empty value."""
    fields_set = command.model_fields_set
    named = [name for name in EDITED_FIELDS if name in fields_set]
    given = {name: getattr(command, name) for name in named}
    return {name: FIELDS[name].default if value is None else value for name, value in given.items()}
