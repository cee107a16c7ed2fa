"""Queries of lists in the past: a list at a moment, and what differs between two moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import asyncpg

from app.lists.state import TaskList
from app.log.fold import Changes, changes
from app.tasks.state import Task
from projections.postgres.periods import Clock, Moment
from projections.postgres.snapshots import positions_at, snapshot
from projections.read_models.lists import ListPage
from projections.read_models.members import lists_of, may_restore, membership, restorers, seen_by
from projections.task_search.lists_at import (
    differing,
    list_at,
    list_of_state,
    list_state_at,
    sources_at,
    tasks_at,
)

DiffKind = Literal["added", "removed", "moved", "changed"]
MOVES = frozenset({"list_id", "rank"})
"""The fields that the place of a task consists of."""

_MAY_SEE = f"SELECT EXISTS ({membership('$1', '$2')})"
_CLOCKS: Sequence[Clock] = ("event", "recorded")
_STATE = "found.stream, found.list_id, found.state"
_PAGE = {
    clock: f"""
        SELECT {_STATE} FROM lists {seen_by("$1", "lists.id")}
        CROSS JOIN LATERAL ({list_state_at("lists.id", clock, "$2")}) AS found
        WHERE found.deleted_at IS NULL
            AND ($3::timestamptz IS NULL OR (lists.created_at, lists.id) > ($3, $4))
        ORDER BY lists.created_at, lists.id LIMIT $5
    """  # noqa: S608
    for clock in _CLOCKS
}
_DELETED_PAGE = {
    clock: f"""
        SELECT {_STATE}
        FROM ({lists_of("$1")} UNION SELECT id FROM lists WHERE {may_restore("$6")}) AS seen(id)
        CROSS JOIN LATERAL ({list_state_at("id", clock, "$2")}) AS found
        WHERE found.deleted_at IS NOT NULL
            AND ($3::timestamptz IS NULL OR (found.deleted_at, id) < ($3, $4))
        ORDER BY found.deleted_at DESC, id DESC LIMIT $5
    """  # noqa: S608
    for clock in _CLOCKS
}


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
        return await list_at(self._pool, list_id, moment)

    async def page(
        self, user: str, moment: Moment, *, after: tuple[datetime, str] | None, limit: int
    ) -> ListPage:
        """Return one page of those of the user's lists that existed at a moment, oldest first."""
        return await self._page(_PAGE, user, moment, after, limit)

    async def deleted(
        self, user: str, moment: Moment, *, before: tuple[datetime, str] | None, limit: int
    ) -> ListPage:
        """Return one page of the lists that were deleted at a moment, the last deleted first.

        They are lists of the user, and lists that are still deleted and that the user may restore.
        """
        return await self._page(_DELETED_PAGE, user, moment, before, limit, restorers(user))

    async def _page(
        self,
        statements: Mapping[Clock, str],
        user: str,
        moment: Moment,
        place: tuple[datetime, str] | None,
        limit: int,
        *more: object,
    ) -> ListPage:
        time, list_id = place or (None, None)
        arguments = (user, moment.time, time, list_id, limit + 1, *more)
        async with snapshot(self._pool) as connection:
            positions = await positions_at(connection)
            rows = await connection.fetch(statements[moment.clock], *arguments)
        return ListPage([list_of_state(row) for row in rows[:limit]], len(rows) > limit, positions)

    async def diff(
        self, user: str, list_id: str, first: Moment, last: Moment, *, after: str, limit: int
    ) -> DiffPage:
        """Return the tasks of a list whose ids follow `after` and that differ between two moments."""
        async with snapshot(self._pool) as connection:
            moments = sources_at(first), sources_at(last)
            rows = await connection.fetch(*differing(list_id, *moments, limit + 1, after=after))
            ids = [row["id"] for row in rows[:limit]]
            seen = {row["list_id"] for row in await connection.fetch(lists_of("$1"), user)}
            before = await tasks_at(connection, ids, first)
            later = await tasks_at(connection, ids, last)
        found = [_difference(before.get(key), later.get(key), list_id, seen) for key in ids]
        return DiffPage([each for each in found if each is not None], ids[-1] if len(rows) > limit else None)


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
