"""Tasks and comments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from tasktape_client.models.base import Answered
from tasktape_client.models.words import Priority, Status


class Reminder(TypedDict, total=False):
    """The time of a reminder: `at` a date-time with offset, or an ISO 8601 duration `before` the due date."""

    at: str
    before: str


class Series(Answered):
    """The place of a task in its series. `occurrence` counts from 1."""

    id: str
    occurrence: int
    scheduled: str | None = None
    values: dict[str, Any] = Field(default_factory=dict)


class Match(Answered):
    """The part of a task that matches a search. `snippet` is HTML that contains only text and `<mark>`."""

    field: str
    snippet: str


class SideEffect(Answered):
    """A side effect of a command: a parent task was reopened, or a field adapted."""

    task_id: str
    type: str
    detail: str
    field: str | None = None


class QuickPart(Answered):
    """A part of a quick text: the field that it sets, or, without a field, the `reason` why it sets none."""

    at: int
    length: int
    text: str
    field: str | None = None
    value: str | None = None
    reason: str | None = None


class Quick(Answered):
    """The recognised parts of a quick text, and the `unread` parts, which only look like fields."""

    parts: tuple[QuickPart, ...] = ()
    unread: tuple[QuickPart, ...] = ()


class Task(Answered):
    """A task after `version` events. `due` is a date or a date-time with offset. Other times are in UTC."""

    id: str
    list_id: str
    title: str
    notes: str = ""
    status: Status
    stage: str | None = None
    priority: Priority = "none"
    due: str | None = None
    time_zone: str | None = None
    tags: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    parent_id: str | None = None
    recurrence: str | None = None
    recurrence_from: str = "due"
    series: Series | None = None
    reminders: tuple[Reminder, ...] = ()
    estimate: int | None = None
    """Minutes."""
    reminded: tuple[datetime, ...] = ()
    comment_count: int = 0
    rank: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    completed_at: datetime | None = None
    deleted_at: datetime | None = None
    match: Match | None = None
    """Set in the results of a search for words."""
    effects: tuple[SideEffect, ...] = ()
    """Set in the result of a command that had side effects."""
    quick: Quick | None = None
    """Set in the result of `quick_add`."""


class TaskValues(TypedDict, total=False):
    """The fields of a task that can be None. Dates can also be text."""

    due: date | str | None
    time_zone: str | None
    stage: str | None
    parent_id: str | None
    recurrence: str | None
    estimate: int | None


class TaskChanges(TaskValues, total=False):
    """The fields of a task that can be set. None clears a field."""

    title: str
    notes: str | None
    priority: Priority | None
    tags: Sequence[str] | None
    assignees: Sequence[str] | None
    recurrence_from: Literal["due", "completion"] | None
    reminders: Sequence[Reminder] | None


class NewTask(TaskValues, total=False):
    """The fields of a new task, except its title. The default list is the caller's inbox."""

    list_id: str
    notes: str
    priority: Priority
    tags: Sequence[str]
    assignees: Sequence[str]
    recurrence_from: Literal["due", "completion"]
    reminders: Sequence[Reminder]


class TaskName(Answered):
    """The id and the title of a task."""

    id: str
    title: str


class TaskNames(Answered):
    """Tasks whose ids begin or end with the same digits. `more` means that there may be others."""

    items: tuple[TaskName, ...]
    more: bool


class Comment(Answered):
    """A comment on a task."""

    id: str
    task_id: str
    author: str
    text: str
    mentions: tuple[str, ...] = ()
    created_at: datetime
    edited_at: datetime | None = None
