"""The read model of lists: one row per list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic_core import from_json
from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from app.lists.state import TaskList
from app.tasks.commands import CreateTask
from projections.postgres.connections import Connection, Source
from projections.postgres.primary_keys import fetch_by_id
from projections.postgres.snapshots import POSITIONS_COLUMN, positions_at, positions_in, snapshot
from projections.postgres.tables import read_models, time_column
from projections.read_models.members import may, may_restore, membership, restorers, seen_by
from projections.read_models.projected import ProjectedBatch

lists = Table(
    "lists",
    read_models,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("inbox", Boolean, nullable=False),
    Column("members", JSONB, nullable=False),
    Column("stages", JSONB, nullable=False),
    Column("version", BigInteger, nullable=False),
    time_column("created_at"),
    Column("created_by", Text, nullable=False),
    time_column("updated_at"),
    time_column("deleted_at", nullable=True),
    Column("time_zone", Text),
    Index(
        "deleted_lists_by_member",
        "members",
        postgresql_using="gin",
        postgresql_ops={"members": "jsonb_path_ops"},
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
)
"""The state of every list, deleted ones included; `members` is `{user: role}`."""

TABLES = (lists,)
VERSION = 1

STATE_COLUMNS = tuple(TaskList.__dataclass_fields__)
_COLUMNS = ", ".join(STATE_COLUMNS)
_LOAD = f"SELECT {_COLUMNS} FROM lists"  # noqa: S608
_UPSERT = f"""
    INSERT INTO lists ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_recordset(NULL::lists, $1::json)
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in STATE_COLUMNS[1:])}
"""  # noqa: S608


async def load(source: Source, ids: list[str]) -> dict[str, TaskList]:
    """Return the states of lists by id; omit ids without a list."""
    rows = await fetch_by_id(source, _LOAD, ids)
    return {row["id"]: list_from_row(row) for row in rows}


def list_from_row(row: asyncpg.Record) -> TaskList:
    """Return a list from a row that starts with the columns in `STATE_COLUMNS`, in their order."""
    values = list(row.values())[: len(STATE_COLUMNS)]
    values[_MEMBERS] = from_json(values[_MEMBERS])
    values[_STAGES] = tuple(from_json(values[_STAGES]))
    return TaskList(*values)


_MEMBERS = STATE_COLUMNS.index("members")
_STAGES = STATE_COLUMNS.index("stages")


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the newest state of every list that the batch changed."""
    newest = batch.newest(TaskList)
    if not newest:
        return
    await connection.execute(_UPSERT, (b"[%s]" % b",".join(state for _, state in newest.values())).decode())


_COLUMNS = ", ".join("lists." + name for name in STATE_COLUMNS)
_VISIBLE = f"FROM lists {seen_by('$1', 'lists.id')}"
_ONE = f"SELECT {_COLUMNS}, {POSITIONS_COLUMN} {_VISIBLE} WHERE lists.id = $2"
_PAGE = f"""
    SELECT {_COLUMNS} {_VISIBLE}
    WHERE $2::timestamptz IS NULL OR (lists.created_at, lists.id) > ($2, $3)
    ORDER BY lists.created_at, lists.id LIMIT $4
"""
_NAMED = f"""
    SELECT {_COLUMNS} {_VISIBLE} WHERE lists.name = $2 AND {may(CreateTask)}
    ORDER BY lists.created_at, lists.id LIMIT 1
"""
DELETED_PAGE = f"""
    SELECT {_COLUMNS} FROM lists WHERE {may_restore("$1")}
        AND ($2::timestamptz IS NULL OR (lists.deleted_at, lists.id) < ($2, $3))
    ORDER BY lists.deleted_at DESC, lists.id DESC LIMIT $4
"""  # noqa: S608
MAY_RESTORE = f"SELECT EXISTS (SELECT FROM lists WHERE {may_restore('$1')} AND lists.id = $2)"  # noqa: S608
_MAY_SEE = f"SELECT EXISTS ({membership('$2', '$1')})"


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of lists in order, and the positions of its snapshot; `more` if others follow."""

    items: Sequence[TaskList]
    more: bool
    positions: dict[int, int]


class ListQueries:
    """The queries, on a pool of the live generation. Callers see the lists they are members of."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def page(self, user: str, *, after: tuple[datetime, str] | None, limit: int) -> ListPage:
        """Return one page of the user's lists, oldest first."""
        created_at, list_id = after or (None, None)
        async with snapshot(self._pool) as connection:
            positions = await positions_at(connection)
            rows = await connection.fetch(_PAGE, user, created_at, list_id, limit + 1)
        return ListPage([list_from_row(row) for row in rows[:limit]], len(rows) > limit, positions)

    async def deleted(self, user: str, *, before: tuple[datetime, str] | None, limit: int) -> ListPage:
        """Return one page of the deleted lists that the user may restore, the last deleted first."""
        deleted_at, list_id = before or (None, None)
        async with snapshot(self._pool) as connection:
            positions = await positions_at(connection)
            rows = await connection.fetch(DELETED_PAGE, restorers(user), deleted_at, list_id, limit + 1)
        return ListPage([list_from_row(row) for row in rows[:limit]], len(rows) > limit, positions)

    async def may_restore(self, user: str, list_id: str) -> bool:
        """Return whether the list is deleted and the user may restore it."""
        return bool(await self._pool.fetchval(MAY_RESTORE, restorers(user), list_id))

    async def one(self, user: str, list_id: str) -> tuple[TaskList, dict[int, int]] | None:
        """Return one of the user's lists, with the positions of the same snapshot."""
        row = await self._pool.fetchrow(_ONE, user, list_id)
        return None if row is None else (list_from_row(row), positions_in(row))

    async def named(self, user: str, name: str) -> TaskList | None:
        """Return the oldest list of this name that the user may add tasks to."""
        row = await self._pool.fetchrow(_NAMED, user, name)
        return None if row is None else list_from_row(row)

    async def may_see(self, user: str, list_id: str) -> bool:
        """Return whether the user is a member of the list."""
        return bool(await self._pool.fetchval(_MAY_SEE, list_id, user))
