"""The commands on tasks; `task_decisions.py` says what event each makes."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.values import (
    Command,
    CommentText,
    Due,
    Label,
    Labels,
    ListId,
    Notes,
    Priority,
    RecurrenceFrom,
    Reminders,
    Rule,
    Scope,
    TaskId,
    TimeZone,
    Title,
    UserIds,
    Uuid,
)


class CreateTask(Command):
    """Create a task; without `list_id` it goes to the caller's inbox."""

    title: Title
    list_id: ListId
    notes: Notes = ""
    priority: Priority = "none"
    due: Due | None = None
    time_zone: TimeZone | None = None
    tags: Labels = ()
    assignees: UserIds = ()
    stage: Label | None = None
    parent_id: TaskId | None = None
    recurrence: Rule | None = None
    recurrence_from: RecurrenceFrom = "due"
    reminders: Reminders = ()


class TaskPatch(Command):
    """The fields to set (a JSON merge patch, RFC 7396); `null` clears a field."""

    title: Title = ""
    notes: Notes | None = None
    priority: Priority | None = None
    due: Due | None = None
    time_zone: TimeZone | None = None
    tags: Labels | None = None
    assignees: UserIds | None = None
    stage: Label | None = None
    parent_id: TaskId | None = None
    recurrence: Rule | None = None
    recurrence_from: RecurrenceFrom | None = None
    reminders: Reminders | None = None


class EditTask(TaskPatch):
    """Set the fields that are given.

    `scope` says for which occurrences of a recurring task; unset, a due date is for this one only and
    everything else for all to come. `cascade` completes open sub-tasks too, should the stage mean that.
    """

    scope: Scope | None = None
    cascade: bool = False


class CompleteTask(Command):
    """Say that the work is done; with `cascade`, whatever its sub-tasks say."""

    cascade: bool = False


class ReopenTask(Command):
    """Say that work goes on."""


class NewPlace(Command):
    """Where a task is to be: in which list, before or after which task of it, in which stage.

    Of `before` and `after`, ids of tasks, the latter counts. In another list, without them, it is the end.
    """

    list_id: ListId | None = None
    before: TaskId | None = None
    after: TaskId | None = None
    stage: Label | None = None


class MoveTask(NewPlace):
    """Move the task to another list, another place in the manual order, another stage.

    `cascade` completes open sub-tasks too, should the stage mean that. `keep_parent` is for a sub-task that
    follows its parent to another list.
    """

    cascade: bool = False
    keep_parent: bool = False


class DeleteTask(Command):
    """Delete the task; it can be restored. With `cascade`, whatever sub-tasks it has."""

    cascade: bool = False


class RestoreTask(Command):
    """Bring a deleted task back; with `cascade` also the sub-tasks that were deleted with it.

    `keep_parent` is for a sub-task whose parent comes back after it, by the same command.
    """

    cascade: bool = False
    keep_parent: bool = False


class SkipOccurrence(Command):
    """Pass over this occurrence of a recurring task: it moves on to the next date."""


class Comment(Command):
    """Say something about the task; `@name` mentions a member of its list."""

    comment_id: Uuid
    text: CommentText


class EditComment(Command):
    """Say it otherwise."""

    comment_id: Uuid
    text: CommentText


class DeleteComment(Command):
    """Take a comment back."""

    comment_id: Uuid


class ChangeToUndo(Command):
    """A change of one's own to undo: what event `version` changed, or the newest that is not undone yet."""

    version: int | None = Field(None, ge=1, le=2**53)


class UndoChange(ChangeToUndo):
    """Undo a change of one's own.

    `keep_parent` is for a sub-task whose parent comes back after it, by the same command.
    """

    keep_parent: bool = False


class RemindOfTask(Command):
    """Tell that the reminder of the instant `at` is due."""

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
    | RemindOfTask
)

CLEARED: dict[str, Any] = {
    "notes": "",
    "priority": "none",
    "tags": (),
    "assignees": (),
    "recurrence_from": "due",
    "reminders": (),
}
"""What `null` means for the fields that always have a value."""


def wanted_fields(command: EditTask) -> dict[str, Any]:
    """The fields that an edit names, with `null` read as each field's empty value."""
    named = [name for name in TaskPatch.model_fields if name in command.model_fields_set]
    given = {name: getattr(command, name) for name in named}
    return {name: CLEARED.get(name) if value is None else value for name, value in given.items()}
