"""The read model of tasks: one row a task, its newest state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import asyncpg
from pydantic_core import to_json

from app.tasks import Task
from projections.projection import Connection, Projected
from projections.tables import tasks

PRIORITY_ORDER = {"none": 0, "low": 1, "medium": 2, "high": 3, "urgent": 4}
"""How priorities sort."""

STATE_COLUMNS = tuple(Task.__dataclass_fields__)
_COLUMNS = ", ".join(STATE_COLUMNS)
_LOAD = f"SELECT {_COLUMNS} FROM tasks WHERE id = ANY($1)"  # noqa: S608
_UPSERT = (
    "INSERT INTO tasks SELECT * FROM json_populate_recordset(NULL::tasks, $1::json) "  # noqa: S608
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{column.name} = excluded.{column.name}" for column in tasks.columns if column.name != "id")
)


async def load(connection: Connection, ids: list[str]) -> dict[str, Task]:
    """The states of tasks by id; ids without a task are absent."""
    rows = await connection.fetch(_LOAD, ids)
    return {row["id"]: task_from_row(row) for row in rows}


def task_from_row(row: asyncpg.Record) -> Task:
    """A task from a row that starts with the columns in `STATE_COLUMNS`, in their order."""
    values = list(row.values())[: len(STATE_COLUMNS)]
    for index in _ARRAYS:
        values[index] = tuple(values[index])
    return Task(*values)


_ARRAYS = tuple(STATE_COLUMNS.index(name) for name in ("tags", "assignees", "reminders"))


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
    instant = b"null" if task.due is None else to_json(due_at(task.due, task.time_zone))
    return b'%s,"due_at":%s,"priority_order":%d}' % (state[:-1], instant, PRIORITY_ORDER[task.priority])


def due_at(due: str, time_zone: str | None) -> datetime | None:
    """The instant that `due` means: a date is due when its day ends in `time_zone` (UTC if unset or unknown).

    None for what is neither a date nor a date-time, which only foreign records can hold.
    """
    try:
        if len(due) > 10:
            return datetime.fromisoformat(due).astimezone(UTC)
        return datetime.combine(date.fromisoformat(due), time.max, _zone(time_zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ValueError, OSError, KeyError):
        return ZoneInfo("UTC")
