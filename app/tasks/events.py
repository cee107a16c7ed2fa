"""The events of a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.bounds import Few, Id, Instant, Label, Many, Moment, Number, Rank, Rule, Text, UserName
from app.tasks.fields import EDITED_FIELDS, SERIES_FIELDS, InitialFields, Reminder, in_json_form
from app.values import Status

# --- values ----------------------------------------------------------------------------------------------

if TYPE_CHECKING:
    SeriesValues: TypeAlias = dict[str, Any]
    TaskFields: TypeAlias = dict[str, Any]
    UndoneFields: TypeAlias = dict[str, Any]
else:
    SeriesValues = TypedDict(
        "SeriesValues",
        {name: in_json_form(field) for name, field in EDITED_FIELDS.items() if name in SERIES_FIELDS},
        total=False,
    )
    SeriesValues.__doc__ = "Values of fields in a series, in their JSON form: those of `SERIES_FIELDS`."
    TaskFields = TypedDict(
        "TaskFields",
        {"status": Status} | {name: field.stored for name, field in EDITED_FIELDS.items()},
        total=False,
    )
    TaskFields.__doc__ = "The fields that an edit may set; an absent field stays unchanged."


@dataclass(frozen=True, slots=True)
class Series:
    """The place of a task in its series.

    `occurrence` counts from 1. `scheduled` is the date that the series gave it, whenever it is due now.
    `values` are the series' values of fields that were edited for this occurrence only; the next occurrences
    have them.
    """

    id: Id
    occurrence: Number
    scheduled: Moment | None
    values: SeriesValues = field(default_factory=SeriesValues)


if not TYPE_CHECKING:

    class UndoneFields(TaskFields, total=False):
        """The fields that an undo may set back."""

        list_id: Id
        rank: Rank
        series: Series | None
        completed_at: Instant | None
        deleted_at: Instant | None


# --- events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskCreated(InitialFields):
    """Event of a new task in a list. `notify` are the assignees to notify.

    `created_by` is set if it is not the actor: an occurrence of a series has the creator of the first one.
    """

    type: ClassVar[str] = "task.created"
    rank: Rank | None = None
    series: Series | None = None
    notify: Many[UserName] = ()
    created_by: UserName | None = None


@dataclass(frozen=True, slots=True)
class TaskEdited:
    """Event of an edit; the fields in `this_only` are set for this occurrence of its series only."""

    type: ClassVar[str] = "task.edited"
    fields: TaskFields
    this_only: Few[Label] = ()
    notify: Many[UserName] = ()


@dataclass(frozen=True, slots=True)
class TaskCompleted:
    """Event of a completion; a process with stages and owners may set both with the same event."""

    type: ClassVar[str] = "task.completed"
    stage: Label | None = None
    assignees: Few[UserName] | None = None


@dataclass(frozen=True, slots=True)
class TaskReopened:
    """Event of a reopening."""

    type: ClassVar[str] = "task.reopened"
    stage: Label | None = None
    assignees: Few[UserName] | None = None


@dataclass(frozen=True, slots=True)
class TaskMoved:
    """Event of a task moved to another list, or to another place of the same one.

    In another list it has no parent, unless `parent_id` names one.
    """

    type: ClassVar[str] = "task.moved"
    list_id: Id
    rank: Rank | None = None
    stage: Label | None = None
    status: Status | None = None
    parent_id: Id | None = None


@dataclass(frozen=True, slots=True)
class TaskDeleted:
    """Event of a deleted task, which is in no list until it is restored."""

    type: ClassVar[str] = "task.deleted"


@dataclass(frozen=True, slots=True)
class TaskRestored:
    """Event of a restored task: it is back in its place, in another stage if the list lost its own meanwhile.

    With `top_level` it no longer has a parent, because its parent is deleted.
    """

    type: ClassVar[str] = "task.restored"
    stage: Label | None = None
    top_level: bool = False


@dataclass(frozen=True, slots=True)
class TaskSkipped:
    """Event of a recurring task moved to the next date of its series; `recurrence` is the rule from there on.

    `reminders` is unset if they stay as they are in the series.
    """

    type: ClassVar[str] = "task.skipped"
    due: Moment
    recurrence: Rule
    reminders: Few[Reminder] | None = None


@dataclass(frozen=True, slots=True)
class TaskCommented:
    """Event of a new comment; `mentions` and `notify` are the users to notify."""

    type: ClassVar[str] = "task.commented"
    comment_id: Id
    text: Text
    mentions: Many[UserName] = ()
    notify: Many[UserName] = ()


@dataclass(frozen=True, slots=True)
class TaskCommentEdited:
    """Event of an edited comment; `mentions` are the users who were not mentioned before."""

    type: ClassVar[str] = "task.comment_edited"
    comment_id: Id
    text: Text
    mentions: Many[UserName] = ()


@dataclass(frozen=True, slots=True)
class TaskCommentDeleted:
    """Event of a deleted comment."""

    type: ClassVar[str] = "task.comment_deleted"
    comment_id: Id


@dataclass(frozen=True, slots=True)
class TaskReminded:
    """Event of a fired reminder, which was due at the instant `at` (RFC 3339, UTC)."""

    type: ClassVar[str] = "task.reminded"
    at: Moment
    notify: Many[UserName] = ()


@dataclass(frozen=True, slots=True)
class TaskUndone:
    """Event of an undo of the changes by event `version`."""

    type: ClassVar[str] = "task.undone"
    version: Number
    fields: UndoneFields


@dataclass(frozen=True, slots=True)
class TaskReverted:
    """Event of a return of the task to its state after its first `version` events.

    `fields` are the fields that differed, with their former values, adapted to the present list.
    """

    type: ClassVar[str] = "task.reverted"
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
    | TaskReverted
)
