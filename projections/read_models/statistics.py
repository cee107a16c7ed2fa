"""The read model of statistics: a row for each change of a task that counts, and the settings of lists.

Rows are only added. Queries make periods and days of them, in any time zone, up to any time: an event that
arrives late, or a list's new time zone, changes no row.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json
from sqlalchemy import BigInteger, Column, Integer, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.dates import due_at
from app.lists.state import TaskList
from app.log.event_json import RecordedEvent
from app.statistics.changes import FlowEntry, flow_entries
from app.tasks.state import Task
from projections.postgres.connections import Connection
from projections.postgres.tables import read_models, time_column
from projections.read_models.projected import ProjectedBatch

task_flow = Table(
    "task_flow",
    read_models,
    Column("list_id", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    time_column("at"),
    time_column("recorded_at"),
    time_column("created_at"),
    # See `app.statistics.changes`: the place of the task in the list from then on, and the event's counts.
    Column("place", SmallInteger, nullable=False),
    Column("counted", SmallInteger, nullable=False),
    Column("stage", Text),
    Column("priority", Text, nullable=False),
    Column("assignees", ARRAY(Text)),
    Column("tags", ARRAY(Text)),
    Column("estimate", Integer),
    time_column("due_at", nullable=True),
)
"""The changes of tasks in lists, each with the values after it; a move is a change in both lists.

`at` is the time of the event, `recorded_at` that of the log. Arrays are null instead of empty.
"""

list_settings = Table(
    "list_settings",
    read_models,
    Column("list_id", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    time_column("at"),
    time_column("recorded_at"),
    Column("stages", JSONB, nullable=False),
    Column("time_zone", Text),
)
"""The stages and the time zone of lists, whenever they changed."""

TABLES = (task_flow, list_settings)
VERSION = 1

_COLUMNS = tuple(column.name for column in task_flow.columns)
_SETTINGS_COLUMNS = tuple(column.name for column in list_settings.columns)


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Add the changes that the batch makes."""
    changes: list[tuple[Any, ...]] = []
    settings: list[tuple[Any, ...]] = []
    for projected in batch.records:
        before, after = projected.folded.before, projected.folded.after
        if projected.folded.outcome != "accepted" or before is after:
            continue
        event = projected.event
        if isinstance(after, Task):
            assert before is None or isinstance(before, Task)
            assert event.time is not None
            changes += [_row(entry, event) for entry in flow_entries(before, after, event.time)]
        elif isinstance(after, TaskList) and (
            not isinstance(before, TaskList)
            or (before.stages, before.time_zone) != (after.stages, after.time_zone)
        ):
            settings.append(_settings_row(after, event))
    if changes:
        await connection.copy_records_to_table("task_flow", records=changes, columns=_COLUMNS)
    if settings:
        await connection.copy_records_to_table("list_settings", records=settings, columns=_SETTINGS_COLUMNS)


def _row(entry: FlowEntry, event: RecordedEvent) -> tuple[Any, ...]:
    task = entry.task
    return (
        entry.list_id,
        task.id,
        event.version,
        event.time,
        event.recorded_at,
        task.created_at,
        entry.place,
        entry.counted,
        task.stage,
        task.priority,
        task.assignees or None,
        task.tags or None,
        task.estimate,
        None if task.due is None else due_at(task.due, task.time_zone),
    )


def _settings_row(task_list: TaskList, event: RecordedEvent) -> tuple[Any, ...]:
    stages = to_json(task_list.stages).decode()
    return task_list.id, event.version, event.time, event.recorded_at, stages, task_list.time_zone
