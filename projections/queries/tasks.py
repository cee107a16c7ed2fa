"""Queries of tasks: pages by filter and order, and single tasks, now or in the past."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from app.search.criteria import Criteria
from app.search.snippets import Match
from projections.postgres.batch_loader import BatchLoader
from projections.postgres.connections import Source
from projections.postgres.periods import Moment
from projections.postgres.snapshots import POSITIONS_COLUMN, positions_at, positions_in, snapshot
from projections.postgres.sql_parameters import array
from projections.queries.task_ids import TaskNames, tasks_by_id_part
from projections.read_models.members import membership, seen_by
from projections.task_search.cost_limits import Bounds
from projections.task_search.filters import TaskFilter
from projections.task_search.highlights import matches_of
from projections.task_search.index_merge import can_be_merged, merge
from projections.task_search.index_walk import SETTINGS as WALKING
from projections.task_search.ordering import Order, Place, Portion
from projections.task_search.planner import find_at, find_relevant, lists_of
from projections.task_search.task_states import TaskState, newest_state, state_at_version, states

_MAY_SEE = f"SELECT EXISTS (SELECT FROM tasks {seen_by('$2', 'tasks.list_id')} WHERE tasks.id = $1)"  # noqa: S608
_MAY_SEE_STATE = f"""
    SELECT EXISTS ({membership("$2", "$3")})
        OR EXISTS (SELECT FROM tasks {seen_by("$2", "tasks.list_id")} WHERE tasks.id = $1)
"""  # noqa: S608
SINGLE = f"""
    SELECT {POSITIONS_COLUMN}, coalesce(array_agg(wanted.id), '{{}}') AS ids,
        coalesce(array_agg(wanted.user_id), '{{}}') AS users,
        coalesce(array_agg(version), '{{}}') AS versions,
        coalesce(array_agg(newest.list_id), '{{}}') AS lists, coalesce(array_agg(state), '{{}}') AS states
    FROM unnest({array("$1", "text")}, {array("$2", "text")}) AS wanted(id, user_id)
    CROSS JOIN LATERAL (SELECT list_id FROM tasks WHERE id = wanted.id AND deleted_at IS NULL LIMIT 1) AS task
    CROSS JOIN LATERAL ({membership("wanted.user_id", "task.list_id")} LIMIT 1) AS member
    CROSS JOIN LATERAL ({newest_state("wanted.id")}) AS newest
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of tasks in order, its end if there are more, and the positions of its snapshot."""

    items: Sequence[TaskState]
    end: Place | None
    positions: dict[int, int]
    matches: Mapping[str, Match] | None
    """The matches of a text search, by task id; None if there was none."""


class TaskQueries:
    """The queries, on a pool of the live generation. Callers see the tasks of their own lists."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], bounds: Bounds | None = None) -> None:
        self._pool = pool
        self._bounds = bounds or Bounds()
        self._single = BatchLoader(self._load_single)

    async def page(
        self,
        user: str,
        wanted: Criteria,
        order: Order | None,
        *,
        after: Place | None,
        limit: int,
        moment: Moment | None = None,
    ) -> TaskPage:
        """Return one page of the tasks that `user` may see, with the positions of the same snapshot.

        Without an order, the most relevant come first. At a past moment, tasks are in their states of then,
        in the lists that the user sees now. Raise `NoSuchList`.
        """
        portion, bounds = Portion(after, limit + 1), self._bounds
        async with snapshot(self._pool, WALKING) as connection:
            if order is not None and moment is None and can_be_merged(wanted, order):
                merged = await merge(connection, user, wanted, order, portion, bounds)
                if merged is not None:
                    return TaskPage(merged.states, merged.end, merged.positions, None)
            lists, positions = await lists_of(connection, user, wanted.lists)
            chosen = TaskFilter(wanted, lists)
            if order is None:
                places = await find_relevant(connection, chosen, portion, bounds, moment)
            else:
                places = await find_at(connection, chosen, order, portion, bounds, moment)
            ids = [place.id for place in places[:limit]]
            found = await _states(connection, ids, moment)
            items = [found[task_id] for task_id in ids]
            matches = None
            if chosen.has_words:
                tasks = [state.decode() for state in items]
                matches = await matches_of(connection, wanted.needles, tasks, past=moment is not None)
        return TaskPage(items, places[limit - 1] if len(places) > limit else None, positions, matches)

    async def one(self, user: str, task_id: str) -> tuple[TaskState, dict[int, int]] | None:
        """Return an existing task, with the positions of the same snapshot.

        Tasks that are asked for at the same time are read by one statement.
        """
        return await self._single.load((task_id, user))

    async def by_id_part(self, user: str, part: str) -> tuple[TaskNames, dict[int, int]]:
        """Return the tasks that `user` sees by a part of their ids, with the snapshot's positions."""
        async with snapshot(self._pool) as connection:
            return await tasks_by_id_part(connection, user, part), await positions_at(connection)

    async def may_see(self, user: str, task_id: str) -> bool:
        """Return whether the task is, or was before its deletion, in a list of the user."""
        return bool(await self._pool.fetchval(_MAY_SEE, task_id, user))

    async def at_version(self, user: str, task_id: str, version: int) -> TaskState | None:
        """Return the task after its first `version` events, if `user` may see it now, or its list of then."""
        return await self._seen(user, await state_at_version(self._pool, task_id, version))

    async def at_moment(self, user: str, task_id: str, moment: Moment) -> TaskState | None:
        """Return the task at a past moment, if `user` may see it now, or its list of then."""
        return await self._seen(user, (await _states(self._pool, [task_id], moment)).get(task_id))

    async def _seen(self, user: str, state: TaskState | None) -> TaskState | None:
        if state is None:
            return None
        sees = await self._pool.fetchval(_MAY_SEE_STATE, state.id, user, state.decode().list_id)
        return state if sees else None

    async def _load_single(
        self, wanted: Collection[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[TaskState, dict[int, int]]]:
        """Return the tasks of these ids that exist and that these users may see."""
        ids, users = [task_id for task_id, _ in wanted], [user for _, user in wanted]
        row = await self._pool.fetchrow(SINGLE, ids, users)
        assert row is not None
        positions = positions_in(row)
        columns = (row["ids"], row["users"], row["versions"], row["lists"], row["states"])
        return {
            (task_id, user): (TaskState.unpacked(task_id, version, list_id, state), positions)
            for task_id, user, version, list_id, state in zip(*columns, strict=True)
        }


async def _states(source: Source, ids: Sequence[str], moment: Moment | None) -> dict[str, TaskState]:
    if moment is None:
        return await states(source, ids)
    return await states(source, ids, moment.time, moment.clock)
