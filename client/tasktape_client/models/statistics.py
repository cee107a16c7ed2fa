"""Statistics of lists."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from tasktape_client.models.base import Answered
from tasktape_client.models.words import Category

GroupBy = Literal["list", "stage", "assignee", "priority", "tag"]


class Day(Answered):
    """The statistics of one day: events on it, and the tasks at its end."""

    date: dt.date
    created: int
    completed: int
    reopened: int
    deleted: int
    restored: int
    moved_in: int
    moved_out: int
    throughput: int
    open: int
    overdue: int
    in_progress: int
    done: int
    scope: int
    open_minutes: int
    completed_minutes: int


class Durations(Answered):
    """The percentiles of the durations of `count` tasks, in seconds; None if there are none."""

    count: int
    p50: float | None
    p85: float | None
    p95: float | None


class OpenTask(Answered):
    """An open task with its age in seconds. `started_at` is None while it waits."""

    id: str
    list_id: str
    stage: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    age_s: float


class FlowBand(Answered):
    """The number of tasks in a stage at the end of each day; `stage` is None for tasks without one."""

    stage: str | None
    category: Category
    tasks: tuple[int, ...]


class GroupSeries(Answered):
    """The counts of a group of tasks, for each day; `key` is None for tasks without a value."""

    key: str | None
    created: tuple[int, ...]
    completed: tuple[int, ...]
    open: tuple[int, ...]
    overdue: tuple[int, ...]
    done: tuple[int, ...]


class Forecast(Answered):
    """The days by which `tasks` more tasks will be done in 50, 85 and 95 % of the trials, if at all."""

    tasks: int
    seed: int
    trials: int
    sampled_days: int
    per_day: float
    p50: dt.date | None
    p85: dt.date | None
    p95: dt.date | None


class Statistics(Answered):
    """The statistics of a list, or of all lists of the caller if `list_id` is None, at the moment `at`."""

    list_id: str | None
    time_zone: str
    at: dt.datetime
    as_recorded_at: dt.datetime | None = None
    days: tuple[Day, ...]
    lead_time: Durations
    cycle_time: Durations
    age: Durations
    open_tasks: tuple[OpenTask, ...]
    cumulative_flow: tuple[FlowBand, ...]
    forecast: Forecast
    group_by: GroupBy | None = None
    groups: tuple[GroupSeries, ...] = ()
    groups_left_out: int = 0
    positions: dict[str, int]


class StatisticsReport(Answered):
    """The statistics of a list, sent on its channel `stats:{list_id}` when something changes."""

    type: Literal["stats"] = "stats"
    channel: str
    at: dt.datetime
    stats: Statistics
