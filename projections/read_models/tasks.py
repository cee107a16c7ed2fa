"""The read model of tasks: one row per task, its newest state."""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg
from pydantic_core import from_json, to_json

from app.search.facets import facets_of
from app.search.sorting import sort_value
from app.tasks.events import Series
from app.tasks.state import Task
from app.values import Status
from projections.postgres.connections import Connection, Source
from projections.postgres.primary_keys import fetch_by_id
from projections.postgres.tables import tasks
from projections.read_models.projected import Projected

STATUS_BUCKETS: dict[Status, int] = {"open": 0, "done": 1}
"""The status bucket of a task in its list, by its status."""
DELETED = 2
"""The status bucket of deleted tasks."""

STATE_COLUMNS = tuple(Task.__dataclass_fields__)
_COLUMNS = ", ".join(STATE_COLUMNS)
_LOAD = f"SELECT {_COLUMNS} FROM tasks"  # noqa: S608
_UPSERT = (
    "INSERT INTO tasks SELECT * FROM json_populate_recordset(NULL::tasks, $1::json) "  # noqa: S608
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{column.name} = excluded.{column.name}" for column in tasks.columns if column.name != "id")
)


async def load(source: Source, ids: list[str]) -> dict[str, Task]:
    """Return the states of tasks by id; omit ids without a task."""
    rows = await fetch_by_id(source, _LOAD, ids)
    return {row["id"]: task_from_row(row) for row in rows}


def task_from_row(row: asyncpg.Record) -> Task:
    """Return a task from a row that starts with the columns in `STATE_COLUMNS`, in their order."""
    values = list(row.values())[: len(STATE_COLUMNS)]
    for index in _ARRAYS:
        values[index] = tuple(values[index])
    values[_REMINDERS] = tuple(from_json(values[_REMINDERS]))
    if values[_SERIES] is not None:
        values[_SERIES] = Series(**from_json(values[_SERIES]))
    return Task(*values)


_ARRAYS = tuple(STATE_COLUMNS.index(name) for name in ("tags", "assignees", "reminded"))
_REMINDERS = STATE_COLUMNS.index("reminders")
_SERIES = STATE_COLUMNS.index("series")


async def write(connection: Connection, batch: list[Projected]) -> None:
    """Write the newest state of every task that the batch changed."""
    newest = {
        projected.folded.after.id: (projected.folded.after, projected.state)
        for projected in batch
        if projected.folded.outcome == "accepted" and isinstance(projected.folded.after, Task)
    }
    if newest:
        await connection.execute(_UPSERT, _rows(newest.values()))


def _rows(states: Iterable[tuple[Task, bytes]]) -> str:
    return (b"[%s]" % b",".join(_row(task, state) for task, state in states)).decode()


def _row(task: Task, state: bytes) -> bytes:
    found_by = {
        "due_at": sort_value(task, "due"),
        "priority_order": sort_value(task, "priority"),
        "title_order": sort_value(task, "title"),
        "shelf": STATUS_BUCKETS[task.status] if task.deleted_at is None else DELETED,
        "facets": facets_of(task),
    }
    return state[:-1] + b"," + to_json(found_by)[1:]
