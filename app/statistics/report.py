"""The statistics of a list, or of several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Literal, TypeAlias

from app.statistics.forecast import Forecast
from app.values import Category

CalendarDay: TypeAlias = date
"""A name for the type of fields that are called `date`."""
GroupBy = Literal["list", "stage", "assignee", "priority", "tag"]


@dataclass(slots=True)
class DayCounts:
    """The counts of a day: events on it, and the tasks at its end.

    `throughput` are the tasks that were completed and not reopened since. `scope` is the sum of `open` and
    `done`. `in_progress` are the open tasks that have started. Minutes are sums of estimates.
    """

    created: int = 0
    completed: int = 0
    reopened: int = 0
    deleted: int = 0
    restored: int = 0
    moved_in: int = 0
    moved_out: int = 0
    throughput: int = 0
    open: int = 0
    overdue: int = 0
    in_progress: int = 0
    done: int = 0
    scope: int = 0
    open_minutes: int = 0
    completed_minutes: int = 0


COUNTS = tuple(field.name for field in fields(DayCounts))


@dataclass(slots=True)
class Day(DayCounts):
    """The statistics of one day in the time zone."""

    date: CalendarDay = CalendarDay.min


@dataclass(frozen=True, slots=True)
class Durations:
    """The percentiles of some durations, in seconds; null if there are none. `count` is their number."""

    count: int = 0
    p50: float | None = None
    p85: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class OpenTask:
    """An open task with its age in seconds, and the time since when it is in progress; null if it is not."""

    id: str
    list_id: str
    stage: str | None
    created_at: datetime
    started_at: datetime | None
    age_s: float


@dataclass(frozen=True, slots=True)
class FlowBand:
    """The number of tasks in a stage at the end of each day; `stage` is null for tasks without one."""

    stage: str | None
    category: Category
    tasks: Sequence[int]


@dataclass(frozen=True, slots=True)
class GroupSeries:
    """The counts of the tasks of a group, one for each day; `key` is null for tasks without a value."""

    key: str | None
    created: Sequence[int]
    completed: Sequence[int]
    open: Sequence[int]
    overdue: Sequence[int]
    done: Sequence[int]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The statistics of a list, or of all lists of a user if `list_id` is null.

    `at` is the moment that they are of. `groups_left_out` is the number of groups beyond the largest ones.
    """

    list_id: str | None
    time_zone: str
    at: datetime
    as_recorded_at: datetime | None
    days: Sequence[Day]
    lead_time: Durations
    cycle_time: Durations
    age: Durations
    open_tasks: Sequence[OpenTask]
    cumulative_flow: Sequence[FlowBand]
    forecast: Forecast
    group_by: GroupBy | None
    groups: Sequence[GroupSeries]
    groups_left_out: int
    positions: dict[str, int]
