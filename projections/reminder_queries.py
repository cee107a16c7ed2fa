"""Asking which reminders are due, with all that firing them takes: one snapshot of rows, tasks and lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from app.lists import TaskList
from app.tasks import Task
from projections import lists, tasks
from projections.reading import positions_at, snapshot

NEXT_DUE = """
    SELECT wanted.partition, next."at" FROM unnest($1::int[]) AS wanted(partition), LATERAL (
        SELECT r."at" FROM reminders r WHERE r.partition = wanted.partition ORDER BY r."at", r.task_id LIMIT 1
    ) AS next
"""
DUE = """
    SELECT "at", task_id FROM reminders
    WHERE partition = $1 AND "at" <= $2 AND ("at", task_id) > ($3, $4)
    ORDER BY "at", task_id LIMIT $5
"""


class Place(NamedTuple):
    """How far the due reminders of a partition have been read."""

    at: datetime
    task_id: str


BEGINNING = Place(datetime.min.replace(tzinfo=UTC), "")


@dataclass(frozen=True, slots=True)
class Due:
    """A task that has a reminder which was due at `at`, and its list; None if that is not there yet."""

    at: datetime
    task: Task
    home: TaskList | None


@dataclass(frozen=True, slots=True)
class DuePage:
    """Some tasks with due reminders, those due first, first; `end` is where to go on, None if that is all."""

    items: Sequence[Due]
    end: Place | None


class ReminderQueries:
    """The queries, on a pool that sees the live generation."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def positions(self) -> Mapping[int, int]:
        """Partition → the last offset that is projected."""
        async with self._pool.acquire() as connection:
            return await positions_at(connection)

    async def next_due(self, partitions: Sequence[int]) -> Mapping[int, datetime]:
        """When the first reminder of each of these partitions is due, for those that have some."""
        if not partitions:
            return {}
        return {row["partition"]: row["at"] for row in await self._pool.fetch(NEXT_DUE, partitions)}

    async def due(self, partition: int, now: datetime, after: Place, limit: int) -> DuePage:
        """The tasks of a partition with reminders that are due, from a place on; `limit` at most."""
        async with snapshot(self._pool) as connection:
            rows = await connection.fetch(DUE, partition, now, *after, limit)
            found = await tasks.load(connection, list({row["task_id"] for row in rows}))
            homes = await lists.load(connection, list({task.list_id for task in found.values()}))
        first = {row["task_id"]: row["at"] for row in reversed(rows)}
        items = [Due(at, found[key], homes.get(found[key].list_id)) for key, at in reversed(first.items())]
        return DuePage(items, Place(*rows[-1]) if len(rows) == limit else None)
