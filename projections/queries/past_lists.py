"""Queries of lists in the past: a list at a moment, and what differs between two moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import asyncpg

from app.lists.state import TaskList
from app.log.fold import Changes, changes
from app.log.updates import state_from_json
from app.tasks.state import Task
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.postgres.periods import Moment
from projections.postgres.snapshots import snapshot
from projections.postgres.sql_parameters import Parameters, Statement
from projections.read_models.members import lists_of, membership
from projections.read_models.tasks import DELETED
from projections.task_search.sources import Source, unchanged_since, versions_at
from projections.task_search.task_states import states

DiffKind = Literal["added", "removed", "moved", "changed"]
MOVES = frozenset({"list_id", "rank"})
"""The fields that the place of a task consists of."""

_LIST = {
    clock: f"""
        SELECT state FROM audit
        WHERE stream = {stream_sql.stream_of("list", "$1::text")} AND outcome = 'accepted'
          AND state IS NOT NULL AND {column} <= $2
        ORDER BY version DESC LIMIT 1
    """  # noqa: S608
    for clock, column in (("event", "time"), ("recorded", "recorded_at"))
}
_MAY_SEE = f"SELECT EXISTS ({membership('$1', '$2')})"


class Difference(NamedTuple):
    """The difference of a task between two moments: its later state, or its former one if it is gone."""

    kind: DiffKind
    task: Task
    changes: Changes


@dataclass(frozen=True, slots=True)
class DiffPage:
    """A page of differences in the order of the tasks' ids; `end` is the last id if others follow."""

    items: Sequence[Difference]
    end: str | None


class PastListQueries:
    """The queries, on a pool of the live generation. Callers see the lists they are members of now."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def one(self, user: str, list_id: str, moment: Moment) -> TaskList | None:
        """Return one of the user's lists at a moment; None if it did not exist yet."""
        if not await self._pool.fetchval(_MAY_SEE, user, list_id):
            return None
        state = await self._pool.fetchval(_LIST[moment.clock], list_id, moment.time)
        found = None if state is None else state_from_json("list", state)
        return found if isinstance(found, TaskList) else None

    async def diff(
        self, user: str, list_id: str, first: Moment, last: Moment, *, after: str, limit: int
    ) -> DiffPage:
        """Return the tasks of a list whose ids follow `after` and that differ between two moments."""
        async with snapshot(self._pool) as connection:
            rows = await connection.fetch(*_differing(list_id, first, last, after, limit + 1))
            ids = [row["id"] for row in rows[:limit]]
            seen = {row["list_id"] for row in await connection.fetch(lists_of("$1"), user)}
            before = await _tasks_at(connection, ids, first)
            later = await _tasks_at(connection, ids, last)
        found = [_difference(before.get(key), later.get(key), list_id, seen) for key in ids]
        return DiffPage([each for each in found if each is not None], ids[-1] if len(rows) > limit else None)


async def _tasks_at(connection: Connection, ids: Sequence[str], moment: Moment) -> dict[str, Task]:
    found = await states(connection, ids, moment.time, moment.clock)
    return {key: state.decode() for key, state in found.items()}


def _difference(before: Task | None, later: Task | None, list_id: str, seen: set[str]) -> Difference | None:
    """Return the difference as a member of some lists sees it: other lists are as if they did not exist."""
    before, later = (
        None if each is None or each.deleted_at is not None or each.list_id not in {*seen, list_id} else each
        for each in (before, later)
    )
    if before is None or later is None:
        task = later or before
        if task is None or task.list_id != list_id:
            return None
        return Difference("removed" if later is None else "added", task, {})
    found = changes(before, later)
    if not found:
        return None
    return Difference("moved" if MOVES & found.keys() else "changed", later, found)


def _differing(list_id: str, first: Moment, last: Moment, after: str, limit: int) -> Statement:
    """Return the statement for the ids of the tasks that are not at the same version in the list."""
    parameters = Parameters()
    former, later = (_versions(list_id, moment, parameters) for moment in (first, last))
    return (
        f"""
        SELECT id FROM ({former}) AS former FULL JOIN ({later}) AS later USING (id)
        WHERE former.version IS DISTINCT FROM later.version AND id > {parameters.add(after, "text")}
        ORDER BY id LIMIT {parameters.add(limit, "bigint")}
        """,  # noqa: S608
        *parameters.values,
    )


def _versions(list_id: str, moment: Moment, parameters: Parameters) -> str:
    """Return the query for the existing tasks of a list at a moment, and their versions."""
    return " UNION ALL ".join(
        _versions_in(source, list_id, parameters) for source in (unchanged_since(moment), versions_at(moment))
    )


def _versions_in(source: Source, list_id: str, parameters: Parameters) -> str:
    conditions = [
        f"t.list_id = {parameters.add(list_id, 'text')}",
        f"t.shelf < {DELETED}",
        *source.valid(parameters),
        *source.found_by(parameters),
    ]
    return f"SELECT t.id, t.version FROM {source.walked} WHERE {' AND '.join(conditions)}"  # noqa: S608
