"""The state of a task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.tasks.events import Reminder, Series
from app.values import Priority, RecurrenceFrom, Status

# --- fold ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """The state of a task after `version` events. Times are UTC; `due` is a date or a date-time with offset.

    `recurrence` is an RFC 5545 rule whose COUNT is the number of remaining occurrences. `reminded` are the
    instants, in RFC 3339 and UTC, whose reminders have fired, or had passed before they were set.
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
"""The fields whose changes the audit shows; the others follow from the envelope."""

SERIES_FIELDS = frozenset(
    {"title", "notes", "priority", "time_zone", "tags", "assignees", "parent_id", "reminders"}
)
"""The fields that each occurrence of a series inherits, unless they were edited for one occurrence only."""


def series_values(series: Series) -> dict[str, Any]:
    """Return the fields whose value in the series differs from this occurrence's, with the series' value."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in series.values.items()
        if name in SERIES_FIELDS
    }
