"""The read models of lists: one row per list, and the members of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic_core import from_json, to_json
from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from app.authorisation import ALLOWED
from app.lists.commands import RestoreList
from app.lists.state import TaskList
from app.tasks.commands import CreateTask
from projections.postgres.connections import Connection, Source
from projections.postgres.primary_keys import fetch_by_id
from projections.postgres.snapshots import POSITIONS_COLUMN, positions_at, positions_in, snapshot
from projections.postgres.tables import read_models, time_column
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
    Index(
        "deleted_lists_by_member",
        "members",
        postgresql_using="gin",
        postgresql_ops={"members": "jsonb_path_ops"},
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
)
"""The state of every list, deleted ones included; `members` is `{user: role}`."""

list_members = Table(
    "list_members",
    read_models,
    Column("list_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Index("list_members_by_user", "user_id"),
)
"""The members of each list that is not deleted, for authorisation."""

TABLES = (lists, list_members)

STATE_COLUMNS = tuple(TaskList.__dataclass_fields__)
_COLUMNS = ", ".join(STATE_COLUMNS)
_LOAD = f"SELECT {_COLUMNS} FROM lists"  # noqa: S608
_UPSERT = f"""
    INSERT INTO lists ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_recordset(NULL::lists, $1::json)
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in STATE_COLUMNS[1:])}
"""  # noqa: S608
_FORGET_MEMBERS = "DELETE FROM list_members WHERE list_id = ANY($1)"
_WRITE_MEMBERS = """
    INSERT INTO list_members (list_id, user_id, role)
    SELECT list_id, user_id, role
    FROM json_to_recordset($1::json) AS member(list_id text, user_id text, role text)
"""


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
    """Write the newest state of every list that the batch changed, and its members while it exists."""
    newest = batch.newest(TaskList)
    if not newest:
        return
    await connection.execute(_UPSERT, (b"[%s]" % b",".join(state for _, state in newest.values())).decode())
    await connection.execute(_FORGET_MEMBERS, list(newest))
    members = [
        {"list_id": task_list.id, "user_id": user, "role": role}
        for task_list, _ in newest.values()
        if task_list.deleted_at is None
        for user, role in task_list.members.items()
    ]
    await connection.execute(_WRITE_MEMBERS, to_json(members).decode())


_COLUMNS = ", ".join("lists." + name for name in STATE_COLUMNS)
_MEMBERS_LISTS = """
    FROM lists JOIN list_members ON list_members.list_id = lists.id WHERE list_members.user_id = $1
"""
_VISIBLE = f"SELECT {_COLUMNS} {_MEMBERS_LISTS}"
_ONE = f"SELECT {_COLUMNS}, {POSITIONS_COLUMN} {_MEMBERS_LISTS} AND lists.id = $2"
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
            rows = await connection.fetch(DELETED_PAGE, _restorer(user), deleted_at, list_id, limit + 1)
        return ListPage([list_from_row(row) for row in rows[:limit]], len(rows) > limit, positions)

    async def may_restore(self, user: str, list_id: str) -> bool:
        """Return whether the list is deleted and the user may restore it."""
        return bool(await self._pool.fetchval(MAY_RESTORE, _restorer(user), list_id))

    async def one(self, user: str, list_id: str) -> tuple[TaskList, dict[int, int]] | None:
        """Return one of the user's lists, with the positions of the same snapshot."""
        row = await self._pool.fetchrow(_ONE, user, list_id)
        return None if row is None else (list_from_row(row), positions_in(row))

    async def named(self, user: str, name: str) -> TaskList | None:
        """Return the oldest list of this name that the user may add tasks to."""
        row = await self._pool.fetchrow(_NAMED, user, name, sorted(ALLOWED[CreateTask]))
        return None if row is None else list_from_row(row)

    async def may_see(self, user: str, list_id: str) -> bool:
        """Return whether the user is a member of the list."""
        return bool(await self._pool.fetchval(_MAY_SEE, list_id, user))


def _restorer(user: str) -> list[str]:
    """Return the user with each role that may restore a list, in the form of the column `members`."""
    return [to_json({user: role}).decode() for role in sorted(ALLOWED[RestoreList])]
