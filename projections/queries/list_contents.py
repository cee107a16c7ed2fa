"""The tasks of a list at a past moment, beside their present states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from app.lists.state import TaskList
from app.tasks.state import Task
from projections.postgres.connections import Connection
from projections.postgres.periods import Moment
from projections.postgres.snapshots import snapshot
from projections.postgres.sql_parameters import Statement
from projections.read_models import lists, tasks
from projections.task_search.lists_at import contained, differing, list_at, sources_at, tasks_at
from projections.task_search.sources import PRESENT


class TooManyTasks(Exception):
    """Error if more tasks must be read than a caller allows."""


@dataclass(frozen=True, slots=True)
class ListChanges:
    """The tasks that are or were in a list and changed since, now and then, and the lists they are in."""

    now: Mapping[str, Task]
    then: Mapping[str, Task]
    lists: Mapping[str, TaskList]


class ListContents:
    """The queries, on a pool of the live generation. The caller checks permissions."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def changes_since(self, list_id: str, moment: Moment, *, at_most: int) -> ListChanges:
        """Return the tasks that are in a list, or were then, and have changed since.

        Raise `TooManyTasks` if more than `at_most` tasks have changed.
        """
        async with snapshot(self._pool) as connection:
            differ = differing(list_id, sources_at(moment), [PRESENT], at_most + 1, deleted=True)
            ids = await _ids(connection, differ, at_most)
            now, then = await tasks.load(connection, ids), await tasks_at(connection, ids, moment)
            places = {task.list_id for each in (now, then) for task in each.values()}
            return ListChanges(now, then, await lists.load(connection, sorted(places)))

    async def tasks_at(self, list_id: str, moment: Moment, *, at_most: int) -> Mapping[str, Task]:
        """Return the tasks that were in a list at a moment, by id. Raise `TooManyTasks`."""
        async with snapshot(self._pool) as connection:
            ids = await _ids(connection, contained(list_id, sources_at(moment), at_most + 1), at_most)
            return await tasks_at(connection, ids, moment)

    async def existed(self, list_id: str, moment: Moment) -> bool:
        """Return whether a list existed at a moment, or any task of it: imported tasks may be older."""
        return await list_at(self._pool, list_id, moment) is not None or bool(
            await self._pool.fetch(*contained(list_id, sources_at(moment), 1))
        )

    async def list_at(self, list_id: str, moment: Moment) -> TaskList | None:
        """Return the state of a list at a moment, or None if it did not exist."""
        return await list_at(self._pool, list_id, moment)


async def _ids(connection: Connection, statement: Statement, at_most: int) -> list[str]:
    ids = [row["id"] for row in await connection.fetch(*statement)]
    if len(ids) > at_most:
        raise TooManyTasks
    return ids
