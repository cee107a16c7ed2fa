"""The read model of tasks: one row per task, its newest state."""

from __future__ import annotations

import asyncpg
from pydantic_core import from_json, to_json
from sqlalchemy import BigInteger, Column, Index, Integer, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from app.search.facets import facets_of
from app.search.sorting import sort_value
from app.tasks.events import Series
from app.tasks.state import Task
from app.values import Status
from projections.postgres.connections import Connection, Source
from projections.postgres.primary_keys import fetch_by_id
from projections.postgres.tables import read_models, texts_column, time_column
from projections.read_models.projected import ProjectedBatch

tasks = Table(
    "tasks",
    read_models,
    Column("id", Text, primary_key=True),
    Column("list_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("stage", Text),
    Column("priority", Text, nullable=False),
    Column("due", Text),
    Column("time_zone", Text),
    texts_column("tags"),
    texts_column("assignees"),
    Column("parent_id", Text),
    Column("recurrence", Text),
    Column("recurrence_from", Text, nullable=False),
    Column("series", JSONB),
    Column("reminders", JSONB, nullable=False),
    texts_column("reminded"),
    Column("comment_count", Integer, nullable=False),
    Column("rank", Text(collation="C"), nullable=False),
    Column("version", BigInteger, nullable=False),
    time_column("created_at"),
    Column("created_by", Text, nullable=False),
    time_column("updated_at"),
    time_column("completed_at", nullable=True),
    time_column("deleted_at", nullable=True),
    # For sorting and searching: the instant that `due` means, 0 (none) to 4 (urgent), the sort key of the
    # title, the status bucket of the task (`projections.read_models.tasks`), and `app.search.facets`.
    time_column("due_at", nullable=True),
    Column("priority_order", SmallInteger, nullable=False),
    Column("title_order", Text(collation="C"), nullable=False),
    Column("shelf", SmallInteger, nullable=False),
    texts_column("facets"),
    Index("tasks_by_list", "list_id", "rank", "id"),
    Index("tasks_by_parent", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
    Index(
        "tasks_by_stage",
        "list_id",
        "stage",
        "status",
        postgresql_where=text("stage IS NOT NULL AND deleted_at IS NULL"),
    ),
    # Every sort order of tasks; queries merge lists and status buckets.
    Index("tasks_by_rank", "list_id", "shelf", "rank", "id"),
    Index("tasks_by_creation", "list_id", "shelf", "created_at", "id"),
    Index("tasks_by_change", "list_id", "shelf", "updated_at", "id"),
    Index("tasks_by_due", "list_id", "shelf", "due_at", "id"),
    Index("tasks_by_priority", "list_id", "shelf", "priority_order", "id"),
    Index("tasks_by_title", "list_id", "shelf", "title_order", "id"),
    # Users name tasks by the ends of their ids, which differ the most.
    Index("tasks_by_end_of_id", text('reverse(id) COLLATE "C"')),
)
"""The state of every task, deleted ones included."""

TABLES = (tasks,)

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


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the newest state of every task that the batch changed."""
    if newest := batch.newest(Task):
        rows = b",".join(_row(task, state) for task, state in newest.values())
        await connection.execute(_UPSERT, (b"[%s]" % rows).decode())


def _row(task: Task, state: bytes) -> bytes:
    found_by = {
        "due_at": sort_value(task, "due"),
        "priority_order": sort_value(task, "priority"),
        "title_order": sort_value(task, "title"),
        "shelf": STATUS_BUCKETS[task.status] if task.deleted_at is None else DELETED,
        "facets": facets_of(task),
    }
    return state[:-1] + b"," + to_json(found_by)[1:]
