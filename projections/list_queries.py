"""Reading lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic_core import to_json

from app.authorisation import ALLOWED
from app.lists import RestoreList, TaskList
from app.task_commands import CreateTask
from projections.lists import STATE_COLUMNS, list_from_row
from projections.reading import positions_at, snapshot

_COLUMNS = ", ".join("lists." + name for name in STATE_COLUMNS)
_VISIBLE = f"""
    SELECT {_COLUMNS} FROM lists JOIN list_members ON list_members.list_id = lists.id
    WHERE list_members.user_id = $1
"""  # noqa: S608
_ONE = f"{_VISIBLE} AND lists.id = $2"
_PAGE = f"""
    {_VISIBLE} AND ($2::timestamptz IS NULL OR (lists.created_at, lists.id) > ($2, $3))
    ORDER BY lists.created_at, lists.id LIMIT $4
"""
_NAMED = f"""
    {_VISIBLE} AND lists.name = $2 AND list_members.role = ANY($3)
    ORDER BY lists.created_at, lists.id LIMIT 1
"""
_RESTORABLE = "lists.deleted_at IS NOT NULL AND lists.members @> ANY($1::jsonb[])"
DELETED_PAGE = f"""
    SELECT {_COLUMNS} FROM lists WHERE {_RESTORABLE}
        AND ($2::timestamptz IS NULL OR (lists.deleted_at, lists.id) < ($2, $3))
    ORDER BY lists.deleted_at DESC, lists.id DESC LIMIT $4
"""  # noqa: S608
MAY_RESTORE = f"SELECT EXISTS (SELECT 1 FROM lists WHERE {_RESTORABLE} AND lists.id = $2)"  # noqa: S608
_MAY_SEE = "SELECT EXISTS (SELECT 1 FROM list_members WHERE list_id = $1 AND user_id = $2)"


@dataclass(frozen=True, slots=True)
class ListPage:
    """Some lists in order, and the positions they were read at; `more` if others follow."""

    items: Sequence[TaskList]
    more: bool
    positions: dict[int, int]


class ListQueries:
    """The queries, on a pool that sees the live generation. A caller sees the lists they are a member of."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def page(self, user: str, *, after: tuple[datetime, str] | None, limit: int) -> ListPage:
        """One page of the user's lists, oldest first."""
        created_at, list_id = after or (None, None)
        async with snapshot(self._pool) as connection:
            positions = await positions_at(connection)
            rows = await connection.fetch(_PAGE, user, created_at, list_id, limit + 1)
        return ListPage([list_from_row(row) for row in rows[:limit]], len(rows) > limit, positions)

    async def deleted(self, user: str, *, before: tuple[datetime, str] | None, limit: int) -> ListPage:
        """One page of the deleted lists that the user may restore, those deleted last first."""
        deleted_at, list_id = before or (None, None)
        async with snapshot(self._pool) as connection:
            positions = await positions_at(connection)
            rows = await connection.fetch(DELETED_PAGE, _restorer(user), deleted_at, list_id, limit + 1)
        return ListPage([list_from_row(row) for row in rows[:limit]], len(rows) > limit, positions)

    async def may_restore(self, user: str, list_id: str) -> bool:
        """Whether the list is deleted, and the user one who may restore it."""
        return bool(await self._pool.fetchval(MAY_RESTORE, _restorer(user), list_id))

    async def one(self, user: str, list_id: str) -> tuple[TaskList, dict[int, int]] | None:
        """One of the user's lists, with the positions of the same snapshot."""
        async with snapshot(self._pool) as connection:
            row = await connection.fetchrow(_ONE, user, list_id)
            positions = await positions_at(connection)
        return None if row is None else (list_from_row(row), positions)

    async def named(self, user: str, name: str) -> TaskList | None:
        """The oldest list of this name that the user may add tasks to."""
        row = await self._pool.fetchrow(_NAMED, user, name, sorted(ALLOWED[CreateTask]))
        return None if row is None else list_from_row(row)

    async def may_see(self, user: str, list_id: str) -> bool:
        """Whether the user is a member of the list."""
        return bool(await self._pool.fetchval(_MAY_SEE, list_id, user))


def _restorer(user: str) -> list[str]:
    """The user in each role that may restore a list, as `members` contains them."""
    return [to_json({user: role}).decode() for role in sorted(ALLOWED[RestoreList])]
