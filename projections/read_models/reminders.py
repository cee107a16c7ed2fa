"""The read model of reminders that have not fired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg
from sqlalchemy import Column, Index, Integer, Table, Text

from app.lists.state import TaskList
from app.tasks.reminders import pending
from app.tasks.state import Task
from projections.postgres.connections import Connection
from projections.postgres.snapshots import positions_at, snapshot
from projections.postgres.tables import read_models, time_column
from projections.read_models import lists, tasks
from projections.read_models.projected import ProjectedBatch

reminders = Table(
    "reminders",
    read_models,
    Column("task_id", Text, primary_key=True),
    time_column("at"),
    Column("instant", Text, primary_key=True),
    Column("partition", Integer, nullable=False),
    Index("reminders_by_time", "partition", "at", "task_id"),
)
"""The reminders of open tasks that have not fired; `instant` is the time in the form of events.

`partition` is the task's: the worker that projects it fires them.
"""

TABLES = (reminders,)
VERSION = 1

_FORGET = "DELETE FROM reminders WHERE task_id = ANY($1)"
_WRITE = """
    INSERT INTO reminders (task_id, "at", instant, partition)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::int[])
"""


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the reminders of every task of the batch that has some, or had."""
    newest: dict[str, tuple[Task, int]] = {}
    for projected in batch.records:
        before, after = projected.folded.before, projected.folded.after
        if projected.folded.outcome != "accepted" or not isinstance(after, Task):
            continue
        if after.reminders or (isinstance(before, Task) and before.reminders) or after.id in newest:
            newest[after.id] = after, projected.folded.raw.position.partition
    if not newest:
        return
    await connection.execute(_FORGET, list(newest))
    rows = [
        (task.id, datetime.fromisoformat(instant), instant, partition)
        for task, partition in newest.values()
        for instant in pending(task)
    ]
    if rows:
        await connection.execute(_WRITE, *zip(*rows, strict=True))


# A reminder in a deleted list is ignored unless it was due by `$2`: the list may be restored.
_NOT_HELD = """
    (r."at" <= $2 OR NOT EXISTS (
        SELECT FROM tasks JOIN lists ON lists.id = tasks.list_id
        WHERE tasks.id = r.task_id AND lists.deleted_at IS NOT NULL
    ))
"""
NEXT_DUE = f"""
    SELECT wanted.partition, coalesce(due."at", later."at") AS "at"
    FROM unnest($1::int[]) AS wanted(partition)
    LEFT JOIN LATERAL (
        SELECT r."at" FROM reminders r WHERE r.partition = wanted.partition AND r."at" <= $3 AND {_NOT_HELD}
        ORDER BY r."at", r.task_id LIMIT 1
    ) AS due ON true
    LEFT JOIN LATERAL (
        SELECT r."at" FROM reminders r WHERE r.partition = wanted.partition AND r."at" > $3
        ORDER BY r."at", r.task_id LIMIT 1
    ) AS later ON true
    WHERE due."at" IS NOT NULL OR later."at" IS NOT NULL
"""  # noqa: S608
DUE = f"""
    SELECT r."at", r.task_id FROM reminders r
    WHERE r.partition = $1 AND r."at" <= $3 AND (r."at", r.task_id) > ($4, $5) AND {_NOT_HELD}
    ORDER BY r."at", r.task_id LIMIT $6
"""  # noqa: S608


class Place(NamedTuple):
    """The place up to which the due reminders of a partition have been read."""

    at: datetime
    task_id: str


BEGINNING = Place(datetime.min.replace(tzinfo=UTC), "")


@dataclass(frozen=True, slots=True)
class Due:
    """A task with a reminder that was due at `at`, and its list; None if the list does not exist yet."""

    at: datetime
    task: Task
    home: TaskList | None


@dataclass(frozen=True, slots=True)
class DuePage:
    """Tasks with due reminders, first due first; `end` is the start of the next page, if there is one."""

    items: Sequence[Due]
    end: Place | None


class ReminderQueries:
    """The queries, on a pool of the live generation."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def positions(self) -> Mapping[int, int]:
        """Return the last projected offset of each partition."""
        async with self._pool.acquire() as connection:
            return await positions_at(connection)

    async def next_due(
        self, partitions: Sequence[int], now: datetime, held_after: datetime
    ) -> Mapping[int, datetime]:
        """Return the time of the first reminder of each of these partitions that has one.

        A reminder in a deleted list is omitted if it was due after `held_after`, and by `now`.
        """
        if not partitions:
            return {}
        rows = await self._pool.fetch(NEXT_DUE, partitions, held_after, now)
        return {row["partition"]: row["at"] for row in rows}

    async def due(
        self, partition: int, now: datetime, held_after: datetime, after: Place, limit: int
    ) -> DuePage:
        """Return a partition's tasks with due reminders, from a place on; at most `limit`."""
        async with snapshot(self._pool) as connection:
            rows = await connection.fetch(DUE, partition, held_after, now, *after, limit)
            found = await tasks.load(connection, list({row["task_id"] for row in rows}))
            homes = await lists.load(connection, list({task.list_id for task in found.values()}))
        first = {row["task_id"]: row["at"] for row in reversed(rows)}
        items = [Due(at, found[key], homes.get(found[key].list_id)) for key, at in reversed(first.items())]
        return DuePage(items, Place(*rows[-1]) if len(rows) == limit else None)
