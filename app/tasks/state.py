"""The state of a task."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.quick_dataclasses import quickly_made
from app.tasks.events import Series
from app.tasks.fields import SERIES_FIELDS, StateFields
from app.values import Status


@dataclass(frozen=True)
class _Identified:
    """The first field of a task."""

    __slots__ = ()

    id: str


@quickly_made
@dataclass(frozen=True, slots=True)
class Task(StateFields, _Identified):
    """The state of a task after `version` events. Times are UTC; `due` is a date or a date-time with offset.

    `recurrence` is an RFC 5545 rule whose COUNT is the number of remaining occurrences. `reminded` are the
    instants, in RFC 3339 and UTC, whose reminders have fired, or had passed before they were set.
    """

    if TYPE_CHECKING:  # For mypy, which knows the defaults of `InitialFields`.
        _: KW_ONLY
    status: Status
    series: Series | None
    reminded: tuple[str, ...]
    comment_count: int
    rank: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    completed_at: datetime | None
    deleted_at: datetime | None = None


_ENVELOPE = frozenset({"id", "version", "created_at", "created_by", "updated_at"})
TASK_FIELDS = tuple(name for name in Task.__dataclass_fields__ if name not in _ENVELOPE)
"""The fields whose changes the audit shows; the others follow from the envelope."""


def series_values(series: Series) -> dict[str, Any]:
    """Return the fields whose value in the series differs from this occurrence's, with the series' value."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in series.values.items()
        if name in SERIES_FIELDS
    }
