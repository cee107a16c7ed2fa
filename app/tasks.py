"""Tasks: events, and the state that they fold to. What commands make of it is in `task_decisions.py`.

A task is one stream, `task:{id}`. Deleting is an event like any other, so what was deleted can be restored.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, ClassVar, assert_never, cast

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.bounds import Few, Id, Instant, Label, Many, Moment, Number, Rank, Rule, Text, Title, UserName
from app.errors import Undecodable
from app.ids import derived_id
from app.ranks import rank_at
from app.reminders import settled
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

# --- fold ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """A task's state after `version` events. Times are UTC; `due` is a date or a date-time with offset.

    `recurrence` is an RFC 5545 rule whose COUNT says how many are left. `reminded` are the instants, in
    RFC 3339 and UTC, whose reminders have fired, or had passed before they came to be.
    """

    id: str
    list_id: str
    title: str
    notes: str
    status: Status
    stage: str | None
    priority: Priority
    due: str | None
    time_zone: str | None
    tags: tuple[str, ...]
    assignees: tuple[str, ...]
    parent_id: str | None
    recurrence: str | None
    recurrence_from: RecurrenceFrom
    series: Series | None
    reminders: tuple[Reminder, ...]
    reminded: tuple[str, ...]
    comment_count: int
    rank: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    completed_at: datetime | None
    deleted_at: datetime | None = None


TASK_FIELDS = (
    "list_id",
    "title",
    "notes",
    "status",
    "stage",
    "priority",
    "due",
    "time_zone",
    "tags",
    "assignees",
    "parent_id",
    "recurrence",
    "recurrence_from",
    "series",
    "reminders",
    "reminded",
    "comment_count",
    "rank",
    "completed_at",
    "deleted_at",
)
"""The fields whose changes an audit shows; the others follow from the envelope."""

SERIES_FIELDS = frozenset(
    {"title", "notes", "priority", "time_zone", "tags", "assignees", "parent_id", "reminders"}
)
"""What each occurrence of a series has from the one before, unless that was edited for itself only."""


def evolve(task: Task | None, event: TaskEvent, *, stream_key: str, time: datetime, actor: str) -> Task:
    """The task after one more event. Raises `Undecodable` for an event that can't follow this state."""
    if isinstance(event, TaskCreated):
        if task is not None:
            raise Undecodable("task.created on a task that exists")
        return _settling(None, _created(event, stream_key, time, actor), time)
    if task is None:
        raise Undecodable(f"{event.type} before task.created")
    changed = {"updated_at": time, **_changed(task, event, time)}
    return _settling(task, _with(task, **changed, version=task.version + 1), time)


def _settling(before: Task | None, after: Task, time: datetime) -> Task:
    """The task, without waiting for reminders that had passed before they came to be."""
    if not (after.reminders or after.reminded):
        return after
    reminded = settled(before, after, time)
    return after if reminded == after.reminded else _with(after, reminded=reminded)


def _changed(task: Task, event: TaskEvent, time: datetime) -> dict[str, Any]:
    """What an event changes, beside the version."""
    match event:
        case TaskEdited():
            return _edited(task, event, time)
        case TaskCompleted() | TaskReopened():
            return _settled(task, event, time)
        case TaskMoved():
            return _moved(task, event, time)
        case TaskDeleted():
            return {"deleted_at": time}
        case TaskRestored(stage=stage, top_level=top_level):
            return {
                "deleted_at": None,
                "stage": task.stage if stage is None else stage,
                "parent_id": None if top_level else task.parent_id,
            }
        case TaskSkipped():
            return _skipped(task, event)
        case TaskCommented() | TaskCommentEdited() | TaskCommentDeleted():
            return {"comment_count": _comment_count(task, event)}
        case TaskReminded(at=at):
            # Nobody touched the task: it is no news among those that were changed lately.
            return {"reminded": (*task.reminded, at), "updated_at": task.updated_at}
        case TaskUndone(fields=undone):
            return dict(undone)
        case TaskCreated():
            raise Undecodable("task.created on a task that exists")
        case _:
            assert_never(event)


_NAMES = tuple(one.name for one in fields(Task))
_VALUES = attrgetter(*_NAMES)


def _with(task: Task, **changed: Any) -> Task:
    """`dataclasses.replace`, in half the time: this is done for every event there is."""
    return Task(**dict(zip(_NAMES, _VALUES(task), strict=True)) | changed)


def _created(event: TaskCreated, task_id: str, time: datetime, actor: str) -> Task:
    series = event.series
    if series is None and event.recurrence is not None:
        series = Series(task_id, 1, event.due)
    return Task(
        id=task_id,
        list_id=event.list_id,
        title=event.title,
        notes=event.notes,
        status="open",
        stage=event.stage,
        priority=event.priority,
        due=event.due,
        time_zone=event.time_zone,
        tags=event.tags,
        assignees=event.assignees,
        parent_id=event.parent_id,
        recurrence=event.recurrence,
        recurrence_from=event.recurrence_from,
        series=series,
        reminders=event.reminders,
        reminded=(),
        comment_count=0,
        rank=event.rank if event.rank is not None else rank_at(time, task_id),
        version=1,
        created_at=time,
        created_by=event.created_by or actor,
        updated_at=time,
        completed_at=None,
    )


def _edited(task: Task, event: TaskEdited, time: datetime) -> dict[str, Any]:
    changed: dict[str, Any] = dict(event.fields)
    if "status" in changed:
        changed |= _status(changed["status"], time)
    if task.series is not None or changed.get("recurrence") is not None:
        changed["series"] = _series_after(task, changed, event.this_only)
    return changed


def _settled(task: Task, event: TaskCompleted | TaskReopened, time: datetime) -> dict[str, Any]:
    return {
        "stage": task.stage if event.stage is None else event.stage,
        "assignees": task.assignees if event.assignees is None else event.assignees,
        **_status("done" if isinstance(event, TaskCompleted) else "open", time),
    }


def _status(status: Status, time: datetime) -> dict[str, Any]:
    return {"status": status, "completed_at": time if status == "done" else None}


def _moved(task: Task, event: TaskMoved, time: datetime) -> dict[str, Any]:
    changed: dict[str, Any] = {"list_id": event.list_id}
    if event.list_id != task.list_id:
        changed["parent_id"] = event.parent_id
    if event.rank is not None:
        changed["rank"] = event.rank
    if event.stage is not None:
        changed["stage"] = event.stage
    if event.status is not None and event.status != task.status:
        changed |= _status(event.status, time)
    return changed


def _skipped(task: Task, event: TaskSkipped) -> dict[str, Any]:
    """The task as its next occurrence: what was edited for this one only does not hold any longer."""
    series = task.series or Series(task.id, 1, task.due)
    return {
        **series_values(series),
        **({} if event.reminders is None else {"reminders": event.reminders}),
        "due": event.due,
        "recurrence": event.recurrence,
        "series": Series(series.id, series.occurrence + 1, event.due),
    }


def _comment_count(task: Task, event: TaskCommented | TaskCommentEdited | TaskCommentDeleted) -> int:
    match event:
        case TaskCommented():
            return task.comment_count + 1
        case TaskCommentDeleted():
            return max(0, task.comment_count - 1)
        case _:
            return task.comment_count


def _series_after(task: Task, changed: dict[str, Any], this_only: tuple[str, ...]) -> Series | None:
    """The place in a series after an edit: setting a rule begins a series, clearing it ends one."""
    if changed.get("recurrence", task.recurrence) is None:
        return None
    due = changed.get("due", task.due)
    series = task.series
    if series is None:
        return Series(derived_id("series", task.id, str(task.version + 1)), 1, due)
    values = {
        name: value for name, value in series.values.items() if name not in changed or name in this_only
    }
    for name in SERIES_FIELDS.intersection(this_only, changed):
        before = getattr(task, name)
        values.setdefault(name, list(before) if isinstance(before, tuple) else before)
    anew = {"due", "recurrence"}.intersection(changed).difference(this_only)
    # Another date together with another time zone: the series moves there.
    moves = {"due", "time_zone"}.issubset(changed) and "time_zone" not in this_only
    scheduled = due if anew or moves else series.scheduled
    return Series(series.id, series.occurrence, scheduled, cast("SeriesValues", values))


def series_values(series: Series) -> dict[str, Any]:
    """The fields whose value in the series is another than in this occurrence, with that value."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in series.values.items()
        if name in SERIES_FIELDS
    }
