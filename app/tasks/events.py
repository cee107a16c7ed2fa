"""The events of a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.bounds import Few, Id, Instant, Label, Many, Moment, Number, Rank, Rule, Text, Title, UserName
from app.values import Priority, RecurrenceFrom, Status

# --- events ----------------------------------------------------------------------------------------------


class Reminder(TypedDict, total=False):
    """When to remind: `at` a date-time with offset, or `before` the due date by an ISO 8601 duration."""

    at: Moment
    before: Moment


class SeriesValues(TypedDict, total=False):
    """Values of fields in a series, as JSON has them: those of `SERIES_FIELDS`."""

    title: Title
    notes: Text
    priority: Priority
    time_zone: Moment | None
    tags: Annotated[list[Label], Field(max_length=200)]
    assignees: Annotated[list[UserName], Field(max_length=200)]
    parent_id: Id | None
    reminders: Annotated[list[Reminder], Field(max_length=200)]


@dataclass(frozen=True, slots=True)
class Series:
    """The place of a task in its series.

    `occurrence` counts from 1. `scheduled` is the date that the series gave it, wherever it is due by now.
    `values` are those of fields that were edited for this occurrence only, as the next ones have them.
    """

    id: Id
    occurrence: Number
    scheduled: Moment | None
    values: SeriesValues = field(default_factory=SeriesValues)


class TaskFields(TypedDict, total=False):
    """The fields that an edit may set; a field that is absent stays as it is."""

    title: Title
    notes: Text
    priority: Priority
    due: Moment | None
    time_zone: Moment | None
    tags: Few[Label]
    assignees: Few[UserName]
    stage: Label | None
    status: Status
    parent_id: Id | None
    recurrence: Rule | None
    recurrence_from: RecurrenceFrom
    reminders: Few[Reminder]


class UndoneFields(TaskFields, total=False):
    """The fields that an undo may set back."""

    list_id: Id
    rank: Rank
    series: Series | None
    completed_at: Instant | None
    deleted_at: Instant | None


@dataclass(frozen=True, slots=True)
class TaskCreated:
    """A task came to be, in a list. `notify` are those who hear that it is theirs.

    `created_by` is set where that is not the actor: an occurrence of a series is by whom the first one is.
    """

    type: ClassVar[str] = "task.created"
    list_id: Id
    title: Title
    notes: Text = ""
    priority: Priority = "none"
    due: Moment | None = None
    time_zone: Moment | None = None
    tags: Few[Label] = ()
    assignees: Few[UserName] = ()
    stage: Label | None = None
    rank: Rank | None = None
    parent_id: Id | None = None
    recurrence: Rule | None = None
    recurrence_from: RecurrenceFrom = "due"
    reminders: Few[Reminder] = ()
    series: Series | None = None
    notify: Many[UserName] = ()
    created_by: UserName | None = None


@dataclass(frozen=True, slots=True)
class TaskEdited:
    """Some fields were set; those in `this_only` for this occurrence of its series only."""

    type: ClassVar[str] = "task.edited"
    fields: TaskFields
    this_only: Few[Label] = ()
    notify: Many[UserName] = ()


@dataclass(frozen=True, slots=True)
class TaskCompleted:
    """The work is done; a process that has stages and owners may say which with the same event."""

    type: ClassVar[str] = "task.completed"
    stage: Label | None = None
    assignees: Few[UserName] | None = None


@dataclass(frozen=True, slots=True)
class TaskReopened:
    """Work goes on after all."""

    type: ClassVar[str] = "task.reopened"
    stage: Label | None = None
    assignees: Few[UserName] | None = None


@dataclass(frozen=True, slots=True)
class TaskMoved:
    """The task is in another list now, or at another place of the same one.

    In another list it is nobody's sub-task, unless `parent_id` says so.
    """

    type: ClassVar[str] = "task.moved"
    list_id: Id
    rank: Rank | None = None
    stage: Label | None = None
    status: Status | None = None
    parent_id: Id | None = None


@dataclass(frozen=True, slots=True)
class TaskDeleted:
    """The task is gone from every list, until restored."""

    type: ClassVar[str] = "task.deleted"


@dataclass(frozen=True, slots=True)
class TaskRestored:
    """A deleted task is back where it was; in another stage if the list has lost its own meanwhile.

    With `top_level` it is nobody's sub-task any longer: its parent is gone.
    """

    type: ClassVar[str] = "task.restored"
    stage: Label | None = None
    top_level: bool = False


@dataclass(frozen=True, slots=True)
class TaskSkipped:
    """A recurring task moved on to the next date of its series; `recurrence` is the rule from there on.

    `reminders` is unset where they stay as they are in the series.
    """

    type: ClassVar[str] = "task.skipped"
    due: Moment
    recurrence: Rule
    reminders: Few[Reminder] | None = None


@dataclass(frozen=True, slots=True)
class TaskCommented:
    """Somebody said something; `mentions` and `notify` are those who hear of it."""

    type: ClassVar[str] = "task.commented"
    comment_id: Id
    text: Text
    mentions: Many[UserName] = ()
    notify: Many[UserName] = ()


@dataclass(frozen=True, slots=True)
class TaskCommentEdited:
    """A comment has another text; `mentions` are those who were not mentioned before."""

    type: ClassVar[str] = "task.comment_edited"
    comment_id: Id
    text: Text
    mentions: Many[UserName] = ()


@dataclass(frozen=True, slots=True)
class TaskCommentDeleted:
    """A comment was taken back."""

    type: ClassVar[str] = "task.comment_deleted"
    comment_id: Id


@dataclass(frozen=True, slots=True)
class TaskReminded:
    """A reminder fired that was due at the instant `at` (RFC 3339, UTC)."""

    type: ClassVar[str] = "task.reminded"
    at: Moment
    notify: Many[UserName] = ()


@dataclass(frozen=True, slots=True)
class TaskUndone:
    """What event `version` had changed is as it was before."""

    type: ClassVar[str] = "task.undone"
    version: Number
    fields: UndoneFields


TaskEvent = (
    TaskCreated
    | TaskEdited
    | TaskCompleted
    | TaskReopened
    | TaskMoved
    | TaskDeleted
    | TaskRestored
    | TaskSkipped
    | TaskCommented
    | TaskCommentEdited
    | TaskCommentDeleted
    | TaskReminded
    | TaskUndone
)
