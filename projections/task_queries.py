"""Reading tasks: pages by filter and order, and single tasks as they are or were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg
from sqlalchemy import Column, ColumnElement, Select, and_, asc, desc, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from app.tasks import Task
from app.values import Priority, Status
from projections.audit import UPDATE_COLUMNS
from projections.projection import Connection
from projections.reading import positions_at, snapshot
from projections.tables import list_members, tasks
from projections.tasks import STATE_COLUMNS, task_from_row

SortKey = Literal["rank", "created_at", "updated_at", "due", "priority", "title"]
_SORT_COLUMNS: dict[SortKey, ColumnElement[Any]] = {
    "rank": tasks.c.rank,
    "created_at": tasks.c.created_at,
    "updated_at": tasks.c.updated_at,
    "due": tasks.c.due_at,
    "priority": tasks.c.priority_order,
    "title": func.lower(tasks.c.title),
}
_DIALECT = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]

_VISIBLE = """
    FROM tasks JOIN list_members USING (list_id)
    WHERE tasks.id = $1 AND list_members.user_id = $2
"""
_ONE = f"SELECT {', '.join('tasks.' + name for name in STATE_COLUMNS)} {_VISIBLE} AND deleted_at IS NULL"
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
HISTORY = f"""
    SELECT {UPDATE_COLUMNS} FROM audit
    WHERE stream = $1 AND outcome = 'accepted' AND version > greatest($2, 0) ORDER BY version LIMIT $3
"""  # noqa: S608
_HISTORY_OF_ALL = f"""
    SELECT {UPDATE_COLUMNS} FROM audit
    WHERE stream = $1 AND "offset" > $2 ORDER BY "offset" LIMIT $3
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks: those that meet all that is given. A due date counts as the end of its day."""

    list_id: str | None = None
    status: Status | None = None
    stage: str | None = None
    tags: tuple[str, ...] = ()
    assignee: str | None = None
    priority: Priority | None = None
    due_before: datetime | None = None
    due_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the last row's sort value (None sorts last) and id."""

    value: Any
    id: str


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Some tasks in order, where the page ended if there are more, and the positions it was read at."""

    items: Sequence[Task]
    end: Place | None
    positions: dict[int, int]


@dataclass(frozen=True, slots=True)
class TaskThen:
    """A task at some time, as JSON."""

    version: int
    state: str


class TaskQueries:
    """The queries, on a pool that sees the live generation. A caller sees the tasks of their own lists."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def page(
        self,
        user: str,
        chosen: TaskFilter,
        *,
        sort: SortKey,
        descending: bool,
        after: Place | None,
        limit: int,
    ) -> TaskPage:
        """One page of the tasks that `user` may see, with the positions of the same snapshot."""
        query = page_query(user, chosen, sort, descending=descending, after=after, limit=limit + 1)
        sql, arguments = compiled(query)
        async with snapshot(self._pool) as connection:
            positions = await positions_at(connection)
            rows = await connection.fetch(sql, *arguments)
        last = rows[limit - 1] if len(rows) > limit else None
        return TaskPage(
            [task_from_row(row) for row in rows[:limit]],
            None if last is None else Place(last["sort_value"], last["id"]),
            positions,
        )

    async def one(self, user: str, task_id: str) -> tuple[Task, dict[int, int]] | None:
        """A task that is there, with the positions of the same snapshot."""
        async with snapshot(self._pool) as connection:
            row = await connection.fetchrow(_ONE, task_id, user)
            positions = await positions_at(connection)
        return None if row is None else (task_from_row(row), positions)

    async def may_see(self, user: str, task_id: str) -> bool:
        """Whether the task is, or before its deletion was, in a list of the user's."""
        return bool(await self._pool.fetchval(_MAY_SEE, task_id, user))

    async def at_version(self, user: str, task_id: str, version: int) -> TaskThen | None:
        """The task after its first `version` events."""
        return await self._then(user, task_id, AT_VERSION, version)

    async def at_time(self, user: str, task_id: str, time: datetime) -> TaskThen | None:
        """The task as its events up to `time` left it."""
        return await self._then(user, task_id, _AT_TIME, time)

    async def _then(self, user: str, task_id: str, sql: str, argument: int | datetime) -> TaskThen | None:
        if not await self.may_see(user, task_id):
            return None
        row = await self._pool.fetchrow(sql, f"task:{task_id}", argument)
        return None if row is None else TaskThen(row["version"], row["state"])


async def history(
    connection: Connection, stream: str, *, after: int, limit: int, with_superseded: bool
) -> list[asyncpg.Record]:
    """Rows of a stream's events: the accepted ones after version `after`, or all records after that offset.

    Control records have no version, so they are among all records only.
    """
    return await connection.fetch(_HISTORY_OF_ALL if with_superseded else HISTORY, stream, after, limit)


def page_query(
    user: str, chosen: TaskFilter, sort: SortKey, *, descending: bool, after: Place | None, limit: int
) -> Select[Any]:
    """The query of one page: the tasks' columns, and `sort_value`."""
    value = _SORT_COLUMNS[sort]
    own_lists = select(list_members.c.list_id).where(list_members.c.user_id == user)
    conditions = [tasks.c.deleted_at.is_(None), tasks.c.list_id.in_(own_lists), *_conditions(chosen)]
    if after is not None:
        conditions.append(_beyond(value, after, descending=descending, nullable=sort == "due"))
    direction = desc if descending else asc
    first = direction(value).nulls_last() if sort == "due" else direction(value)
    return (
        select(*(tasks.c[name] for name in STATE_COLUMNS), value.label("sort_value"))
        .where(and_(*conditions))
        .order_by(first, direction(tasks.c.id))
        .limit(limit)
    )


def _conditions(chosen: TaskFilter) -> list[ColumnElement[bool]]:
    column = tasks.c
    conditions: list[ColumnElement[bool]] = []
    equal = ("list_id", "status", "stage", "priority")
    conditions += [column[name] == value for name in equal if (value := getattr(chosen, name)) is not None]
    if chosen.tags:
        conditions.append(column.tags.contains(list(chosen.tags)))
    if chosen.assignee is not None:
        conditions.append(column.assignees.contains([chosen.assignee]))
    if chosen.due_before is not None:
        conditions.append(column.due_at < chosen.due_before)
    if chosen.due_after is not None:
        conditions.append(column.due_at > chosen.due_after)
    return conditions


def _beyond(
    value: ColumnElement[Any], after: Place, *, descending: bool, nullable: bool
) -> ColumnElement[bool]:
    """The rows behind `after`; those without a value come last in both directions."""
    identifier: Column[Any] = tasks.c.id
    if after.value is None:
        return and_(value.is_(None), identifier < after.id if descending else identifier > after.id)
    here, there = tuple_(value, identifier), tuple_(after.value, after.id)
    further = here < there if descending else here > there
    return or_(further, value.is_(None)) if nullable else further


def compiled(query: Select[Any]) -> tuple[str, list[Any]]:
    """A query as asyncpg takes it: text with numbered parameters, and their values."""
    result = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(result), [result.params[name] for name in result.positiontup or ()]
