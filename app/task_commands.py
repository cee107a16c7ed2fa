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
    Rank,
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


class EditTask(Command):
    """Set the fields that are given (a JSON merge patch, RFC 7396); `null` clears a field.

    `scope` says for which occurrences of a recurring task; unset, a due date is for this one only and
    everything else for all to come.
    """

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
    scope: Scope | None = None


class CompleteTask(Command):
    """Say that the work is done; with `cascade`, whatever its sub-tasks say."""

    cascade: bool = False


class ReopenTask(Command):
    """Say that work goes on."""


class MoveTask(Command):
    """Move the task to another list, another place in the manual order, another stage.

    `keep_parent` is for a sub-task that follows its parent to another list.
    """

    list_id: ListId | None = None
    rank: Rank | None = None
    stage: Label | None = None
    keep_parent: bool = False


class DeleteTask(Command):
    """Delete the task; it can be restored. With `cascade`, whatever sub-tasks it has."""

    cascade: bool = False


class RestoreTask(Command):
    """Bring a deleted task back."""


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


class UndoChange(Command):
    """Undo a change of one's own: what event `version` changed."""

    version: int = Field(ge=1, le=2**53)


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
    given = {name: getattr(command, name) for name in command.model_fields_set if name != "scope"}
    return {name: CLEARED.get(name) if value is None else value for name, value in given.items()}
