"""Queries of statistics: one statement reads the changes of some lists and returns sums by day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import groupby
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
from pydantic_core import from_json

from app.dates import zone_of
from app.errors import Unavailable
from app.positions import positions_to_json
from app.statistics.calendar import Days, day_of, days_between
from app.statistics.changes import Counted, Place
from app.statistics.flow import daily, largest, running
from app.statistics.forecast import DEFAULT_SEED, forecast
from app.statistics.report import Day, Durations, FlowBand, GroupBy, GroupSeries, OpenTask, Statistics
from app.statistics.stages import categories
from app.values import Category
from projections.postgres.connections import Connection, Source
from projections.postgres.database import DATABASE_UNAVAILABLE, Database
from projections.postgres.snapshots import positions_at, snapshot
from projections.queries.costly_results import CostlyResults
from projections.queries.statistics_sql import statement
from projections.read_models.members import lists_of

OLDEST_SHOWN = 100
"""The open tasks that are returned one by one, the oldest ones."""
TIMEOUT_S = 30
MOST_AT_ONCE = 4
"""Statements at a time on a node: other requests need connections too."""
COSTLY_CHANGES = 100_000
"""From so many changes on a result is kept for a while: it takes PostgreSQL 0.7 s of processor time."""
_LISTS = lists_of("$1")
_SETTINGS = """
    SELECT list_id, stages, time_zone FROM list_settings
    WHERE list_id = ANY($1) AND ($2::timestamptz IS NULL OR "at" <= $2)
      AND ($3::timestamptz IS NULL OR recorded_at <= $3)
    ORDER BY list_id, version
"""


class NoSuchList(Exception):
    """Error for a list that the user cannot see."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A selection of statistics; `as_of` by the times of events, `as_recorded_at` by those of the log.

    Without `list_id`, those of all lists of the user together. `forecast` is a number of tasks; by default
    all open ones.
    """

    list_id: str | None = None
    first: date | None = None
    last: date | None = None
    time_zone: str | None = None
    group_by: GroupBy | None = None
    as_of: datetime | None = None
    as_recorded_at: datetime | None = None
    forecast: int | None = None
    seed: int = DEFAULT_SEED

    def moment(self, now: datetime) -> datetime:
        """Return the moment that the statistics are of."""
        return min(each for each in (self.as_of, self.as_recorded_at, now) if each is not None)


class StatisticsQueries:
    """The queries, on the live generation. They raise `Unavailable`."""

    def __init__(
        self, database: Database, costly_changes: int = COSTLY_CHANGES, clock: Callable[[], float] = monotonic
    ) -> None:
        self._database = database
        self._costly_changes = costly_changes
        self._results = CostlyResults[Statistics](MOST_AT_ONCE, clock)

    async def of_user(self, user: str, wanted: Wanted, now: datetime) -> Statistics:
        """Return statistics of the user's lists, or of one of them. Raise `NoSuchList`, `Invalid`."""
        return await self._read(user, wanted, now)

    async def of_list(self, list_id: str, now: datetime) -> Statistics:
        """Return the usual statistics of a list for all of its members, who were checked already."""
        return await self._read(None, Wanted(list_id), now)

    async def _read(self, user: str | None, wanted: Wanted, now: datetime) -> Statistics:
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                lists = await _lists(self._database.pool, user, wanted.list_id)
                compute = partial(self._compute, lists, wanted, now)
                return await self._results.answer((tuple(lists), wanted), compute)
        except asyncpg.QueryCanceledError as error:
            raise Unavailable(f"the statistics were not computed within {TIMEOUT_S} s") from error
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error

    async def _compute(self, lists: Sequence[str], wanted: Wanted, now: datetime) -> tuple[Statistics, bool]:
        timeout = f"SET LOCAL statement_timeout = '{TIMEOUT_S}s'"
        async with snapshot(self._database.pool, timeout) as connection:
            result, changes = await _statistics(connection, lists, wanted, now)
        return result, changes >= self._costly_changes


async def _lists(source: Source, user: str | None, list_id: str | None) -> list[str]:
    if user is None:
        return [] if list_id is None else [list_id]
    seen = [row["list_id"] for row in await source.fetch(_LISTS, user)]
    if list_id is None:
        return sorted(seen)
    if list_id not in seen:
        raise NoSuchList
    return [list_id]


@dataclass(frozen=True, slots=True)
class _Settings:
    """The categories of stages by list and name, and the time zone."""

    stages: Mapping[tuple[str, str], Category]
    zone: ZoneInfo

    def category_of(self, stage: str) -> Category | None:
        """Return the category of a stage in the first list that has one."""
        return next((category for (_, name), category in self.stages.items() if name == stage), None)


async def _settings(connection: Connection, lists: Sequence[str], wanted: Wanted) -> _Settings:
    rows = await connection.fetch(_SETTINGS, lists, wanted.as_of, wanted.as_recorded_at)
    stages: dict[tuple[str, str], Category] = {}
    time_zone = wanted.time_zone
    for list_id, of_list in groupby(rows, key=lambda row: str(row["list_id"])):
        history = list(of_list)
        found = categories(from_json(row["stages"]) for row in history)
        stages.update({(list_id, name): category for name, category in found.items()})
        if list_id == wanted.list_id:
            time_zone = time_zone or history[-1]["time_zone"]
    return _Settings(stages, zone_of(time_zone))


async def _statistics(
    connection: Connection, lists: Sequence[str], wanted: Wanted, now: datetime
) -> tuple[Statistics, int]:
    """Return the statistics of lists, and the number of changes that were read."""
    moment = wanted.moment(now)
    settings = await _settings(connection, lists, wanted)
    days = days_between(wanted.first, wanted.last, settings.zone, moment)
    row = await connection.fetchrow(
        statement(wanted.group_by),
        lists,
        [list_id for list_id, _ in settings.stages],
        [stage for _, stage in settings.stages],
        [category == "open" for category in settings.stages.values()],
        wanted.as_of,
        wanted.as_recorded_at,
        days.bounds,
        moment,
        OLDEST_SHOWN,
    )
    assert row is not None
    found = {name: from_json(value or "[]") for name, value in row.items()}
    shown = _days(days, found)
    groups, left_out = _groups(days, found) if wanted.group_by else ((), 0)
    remaining = wanted.forecast if wanted.forecast is not None else found["open_count"]
    result = Statistics(
        list_id=wanted.list_id,
        time_zone=settings.zone.key,
        at=moment.astimezone(UTC),
        as_recorded_at=wanted.as_recorded_at,
        days=shown,
        lead_time=_durations(found["lead_time"]),
        cycle_time=_durations(found["cycle_time"]),
        age=_durations(found["age"]),
        open_tasks=[_open_task(task, moment) for task in found["oldest"]],
        cumulative_flow=_bands(days, found["levels"], settings),
        forecast=forecast(
            [day.throughput for day in shown], remaining, day_of(moment, settings.zone), wanted.seed
        ),
        group_by=wanted.group_by,
        groups=groups,
        groups_left_out=left_out,
        positions=positions_to_json(await positions_at(connection)),
    )
    return result, found["changes"]


def _days(days: Days, found: Mapping[str, Any]) -> list[Day]:
    """Return the counts of each day."""
    changes: list[tuple[str, int, int]] = []
    for day, place, started, _, tasks, minutes in found["levels"]:
        changes += [("open" if place == Place.OPEN else "done", day, tasks), ("scope", day, tasks)]
        if place == Place.OPEN:
            changes += [("open_minutes", day, minutes), ("in_progress", day, tasks if started else 0)]
    changes += [("overdue", day, tasks) for day, tasks in found["overdue"]]
    counts = dict(running(changes, len(days.dates)))
    counts |= daily(
        [
            *_events(found["events"]),
            *(("throughput", day, tasks) for day, tasks in found["throughput"]),
        ],
        len(days.dates),
    )
    return [
        Day(date=day, **{name: numbers[place] for name, numbers in counts.items()})
        for place, day in enumerate(days.dates)
    ]


def _events(rows: Sequence[Sequence[int]]) -> list[tuple[str, int, int]]:
    names = [*(flag.name.lower() for flag in Counted if flag.name), "completed_minutes"]
    return [
        (name, day, count)
        for day, *counts in rows
        for name, count in zip(names, counts, strict=True)
        if count
    ]


def _bands(days: Days, levels: Sequence[Sequence[Any]], settings: _Settings) -> list[FlowBand]:
    """Return the cumulative flow: stages in their order, then those that no list has."""
    order = {"open": 0, "active": 1, "done": 2}
    active = {stage for _, _, started, stage, *_ in levels if started and stage is not None}
    changes: list[tuple[tuple[str | None, Category], int, int]] = []
    for day, place, _, stage, tasks, _ in levels:
        known = None if stage is None else settings.category_of(stage)
        state: Category = "done" if place == Place.DONE else "active" if stage in active else "open"
        changes.append(((stage, known or state), day, tasks))
    names = list(dict.fromkeys(name for _, name in settings.stages))
    bands = [
        FlowBand(stage, category, tasks)
        for (stage, category), tasks in running(changes, len(days.dates)).items()
        if any(tasks)
    ]
    return sorted(
        bands,
        key=lambda band: (
            order[band.category],
            names.index(band.stage) if band.stage in names else len(names),
            band.stage or "",
        ),
    )


def _groups(days: Days, found: Mapping[str, Any]) -> tuple[Sequence[GroupSeries], int]:
    """Return the counts of each group."""
    count = len(days.dates)
    if not count:
        return (), 0
    levels = running(
        [
            *(
                ((key, "open" if place == Place.OPEN else "done"), day, tasks)
                for day, key, place, tasks in found["group_levels"]
            ),
            *(((key, "overdue"), day, tasks) for day, key, tasks in found["group_overdue"]),
        ],
        count,
    )
    events = daily(
        [
            ((key, name), day, tasks)
            for day, key, created, completed in found["group_events"]
            for name, tasks in (("created", created), ("completed", completed))
        ],
        count,
    )
    nothing = [0] * count
    series = {**levels, **events}
    keys = dict.fromkeys(key for (key, _), numbers in series.items() if any(numbers))
    names = ("created", "completed", "open", "overdue", "done")
    return largest(GroupSeries(key, *(series.get((key, name), nothing) for name in names)) for key in keys)


def _durations(found: Sequence[Any]) -> Durations:
    count, percentiles = found
    return Durations(count, *(round(each, 3) for each in percentiles or ())) if count else Durations()


def _open_task(row: Sequence[Any], moment: datetime) -> OpenTask:
    task_id, list_id, stage, created, started = row
    created_at = datetime.fromtimestamp(created, UTC)
    started_at = None if started is None else datetime.fromtimestamp(started, UTC)
    return OpenTask(
        task_id, list_id, stage, created_at, started_at, max(0.0, (moment - created_at).total_seconds())
    )
