"""The read model of tasks: one row per task, its newest state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
from pydantic_core import from_json, to_json
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from app.log.fold import Began
from app.search.facets import facets_of
from app.search.sorting import SORT_ORDERS
from app.tasks.events import Series
from app.tasks.fields import FIELDS, Kind, TaskField
from app.tasks.sorting import SortOrder, SortValue
from app.tasks.state import Task
from app.values import Status
from projections.postgres.connections import Connection, Source
from projections.postgres.primary_keys import fetch_by_id
from projections.postgres.tables import read_models, texts_column, time_column
from projections.read_models.projected import Projected, ProjectedBatch

STATE_COLUMNS = tuple(Task.__dataclass_fields__)
_COMPUTED = tuple(order for order in SORT_ORDERS.values() if order.column not in STATE_COLUMNS)
_FIELD_TYPES: Mapping[Kind, TypeEngine[Any]] = {
    "text": Text(),
    "choice": Text(),
    "texts": ARRAY(Text),
    "number": Integer(),
    "objects": JSONB(),
}
_SORT_TYPES: Mapping[str, TypeEngine[Any]] = {
    "text": Text(collation="C"),
    "timestamptz": DateTime(timezone=True),
    "smallint": SmallInteger(),
    "integer": Integer(),
}


def _field_column(field: TaskField) -> Column[object]:
    return Column(field.name, _FIELD_TYPES[field.rules.kind], nullable=field.nullable)


def sort_column(order: SortOrder) -> Column[object]:
    """Return the column of the sort values of an order."""
    return Column(order.column, _SORT_TYPES[order.kind], nullable=order.nullable)


tasks = Table(
    "tasks",
    read_models,
    Column("id", Text, primary_key=True),
    *map(_field_column, FIELDS.values()),
    Column("status", Text, nullable=False),
    Column("series", JSONB),
    texts_column("reminded"),
    Column("comment_count", Integer, nullable=False),
    Column("rank", Text(collation="C"), nullable=False),
    Column("version", BigInteger, nullable=False),
    time_column("created_at"),
    Column("created_by", Text, nullable=False),
    time_column("updated_at"),
    time_column("completed_at", nullable=True),
    time_column("deleted_at", nullable=True),
    # When this version began, by the time of its event and by when the log recorded it.
    time_column("since"),
    time_column("known_since"),
    # For sorting and searching: sort values that are no fields, the status bucket, `app.search.facets`.
    *map(sort_column, _COMPUTED),
    Column("status_bucket", SmallInteger, nullable=False),
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
    # Every sort order of tasks; queries merge lists and status buckets. As of a past time they skip the tasks
    # that have changed since without reading them.
    *(
        Index(f"tasks_by_{name}", "list_id", "status_bucket", by.column, "id", "since", "known_since")
        for name, by in SORT_ORDERS.items()
    ),
    # Users name tasks by the ends of their ids, which differ the most.
    Index("tasks_by_end_of_id", text('reverse(id) COLLATE "C"')),
)
"""The state of every task, deleted ones included."""

TABLES = (tasks,)
VERSION = 1

STATUS_BUCKETS: dict[Status, int] = {"open": 0, "done": 1}
"""The status bucket of a task in its list, by its status."""
DELETED = 2
"""The status bucket of deleted tasks."""

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


async def load_began(source: Source, ids: list[str]) -> dict[str, Began]:
    """Return when the newest versions of tasks began, by id."""
    rows = await fetch_by_id(source, "SELECT id, since, known_since FROM tasks", ids)
    return {row["id"]: Began(row["since"], row["known_since"]) for row in rows}


def task_from_row(row: asyncpg.Record) -> Task:
    """Return a task from a row that starts with the columns in `STATE_COLUMNS`, in their order."""
    values = list(row.values())[: len(STATE_COLUMNS)]
    for index in _ARRAYS:
        values[index] = tuple(values[index])
    for index in _OBJECTS:
        values[index] = tuple(from_json(values[index]))
    if values[_SERIES] is not None:
        values[_SERIES] = Series(**from_json(values[_SERIES]))
    return _TASK(*values)


_TASK: Callable[..., Task] = Task
_ARRAYS = tuple(
    STATE_COLUMNS.index(name)
    for name in (*(name for name, field in FIELDS.items() if field.rules.kind == "texts"), "reminded")
)
_OBJECTS = tuple(STATE_COLUMNS.index(name) for name, field in FIELDS.items() if field.rules.kind == "objects")
_SERIES = STATE_COLUMNS.index("series")


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the newest state of every task that the batch changed."""
    if newest := {task.id: (task, projected) for task, projected in batch.task_versions()}:
        rows = b",".join(_row(*each) for each in newest.values())
        await connection.execute(_UPSERT, (b"[%s]" % rows).decode())


def sort_values(task: Task) -> dict[str, SortValue]:
    """Return the values of the columns of the sort orders."""
    return {order.column: order.value(task) for order in SORT_ORDERS.values()}


def status_bucket_of(task: Task) -> int:
    """Return the status bucket of a task."""
    return STATUS_BUCKETS[task.status] if task.deleted_at is None else DELETED


def _row(task: Task, projected: Projected) -> bytes:
    found_by = {
        **{order.column: order.value(task) for order in _COMPUTED},
        "status_bucket": status_bucket_of(task),
        "facets": facets_of(task),
        "since": projected.event.time,
        "known_since": projected.event.recorded_at,
    }
    return projected.state[:-1] + b"," + to_json(found_by)[1:]
