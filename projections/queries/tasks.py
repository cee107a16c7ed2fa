"""Queries of tasks: pages by filter and order, and single tasks, now or in the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from app.search.criteria import Criteria
from app.search.snippets import Match
from app.stream_ids import task_stream
from app.tasks.state import Task
from projections.postgres.snapshots import POSITIONS_COLUMN, positions_at, positions_in, snapshot
from projections.queries.task_ids import TaskNames, tasks_by_id_part
from projections.read_models.tasks import STATE_COLUMNS, load, task_from_row
from projections.task_search.as_of import find_as_of, load_as_of
from projections.task_search.cost_limits import Bounds
from projections.task_search.filters import TaskFilter
from projections.task_search.highlights import matches_of
from projections.task_search.ordering import Order, Place, Portion
from projections.task_search.planner import find, find_relevant, lists_of

_VISIBLE = """
    FROM tasks JOIN list_members USING (list_id)
    WHERE tasks.id = $1 AND list_members.user_id = $2
"""
_ONE = f"""
    SELECT {", ".join("tasks." + name for name in STATE_COLUMNS)}, {POSITIONS_COLUMN}
    {_VISIBLE} AND deleted_at IS NULL
"""
_MAY_SEE = f"SELECT EXISTS (SELECT 1 {_VISIBLE})"
AT_VERSION = """
    SELECT version, state FROM audit
    WHERE stream = $1 AND version = $2 AND outcome = 'accepted' AND state IS NOT NULL
"""
_AT_TIME = """
    SELECT version, state FROM audit
    WHERE stream = $1 AND outcome = 'accepted' AND state IS NOT NULL AND time <= $2
    ORDER BY version DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of tasks in order, its end if there are more, and the positions of its snapshot."""

    items: Sequence[Task]
    end: Place | None
    positions: dict[int, int]
    matches: Mapping[str, Match] | None
    """The matches of a text search, by task id; None if there was none."""


@dataclass(frozen=True, slots=True)
class TaskAsOf:
    """A past state of a task, as JSON."""

    version: int
    state: str


class TaskQueries:
    """The queries, on a pool of the live generation. Callers see the tasks of their own lists."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], bounds: Bounds | None = None) -> None:
        self._pool = pool
        self._bounds = bounds or Bounds()

    async def page(
        self,
        user: str,
        wanted: Criteria,
        order: Order | None,
        *,
        after: Place | None,
        limit: int,
        time: datetime | None = None,
    ) -> TaskPage:
        """Return one page of the tasks that `user` may see, with the positions of the same snapshot.

        Without an order, the most relevant come first. With a time, tasks are in their states of that time,
        in the lists that the user sees now. Raise `NoSuchList` and, with a time, `TooManyChanged`.
        """
        async with snapshot(self._pool) as connection:
            positions = await positions_at(connection)
            chosen = TaskFilter(wanted, await lists_of(connection, user, wanted.lists))
            portion, bounds = Portion(after, limit + 1), self._bounds
            if order is None:
                places = await find_relevant(connection, chosen, portion, bounds)
            elif time is None:
                places = await find(connection, chosen, order, portion, bounds)
            else:
                places = await find_as_of(connection, chosen, order, portion, bounds, time)
            ids = [place.id for place in places[:limit]]
            found = await (load(connection, ids) if time is None else load_as_of(connection, ids, time))
            tasks = [found[task_id] for task_id in ids]
            matches = await matches_of(connection, wanted.needles, tasks, time)
        return TaskPage(tasks, places[limit - 1] if len(places) > limit else None, positions, matches)

    async def one(self, user: str, task_id: str) -> tuple[Task, dict[int, int]] | None:
        """Return an existing task, with the positions of the same snapshot."""
        row = await self._pool.fetchrow(_ONE, task_id, user)
        return None if row is None else (task_from_row(row), positions_in(row))

    async def by_id_part(self, user: str, part: str) -> tuple[TaskNames, dict[int, int]]:
        """Return the tasks that `user` sees by a part of their ids, with the snapshot's positions."""
        async with snapshot(self._pool) as connection:
            return await tasks_by_id_part(connection, user, part), await positions_at(connection)

    async def may_see(self, user: str, task_id: str) -> bool:
        """Return whether the task is, or was before its deletion, in a list of the user."""
        return bool(await self._pool.fetchval(_MAY_SEE, task_id, user))

    async def at_version(self, user: str, task_id: str, version: int) -> TaskAsOf | None:
        """Return the task after its first `version` events."""
        return await self._as_of(user, task_id, AT_VERSION, version)

    async def at_time(self, user: str, task_id: str, time: datetime) -> TaskAsOf | None:
        """Return the task after its events up to `time`."""
        return await self._as_of(user, task_id, _AT_TIME, time)

    async def _as_of(self, user: str, task_id: str, sql: str, argument: int | datetime) -> TaskAsOf | None:
        if not await self.may_see(user, task_id):
            return None
        row = await self._pool.fetchrow(sql, task_stream(task_id), argument)
        return None if row is None else TaskAsOf(row["version"], row["state"])
