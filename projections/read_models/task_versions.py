"""The read model of past versions of tasks, each with the periods in which it was the newest one.

A row is written when the next version ends it, so the newest version of a task is only in `tasks`. A version
is valid from its time up to the earliest time of any later version, because imported events may be older than
those before them. The same holds for the times at which the log recorded the events.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Index, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from app.log.event_json import RecordedEvent
from app.log.fold import Began
from app.search.facets import facets_of
from app.search.sorting import SORT_ORDERS
from app.tasks.state import Task
from projections.postgres.connections import Connection
from projections.postgres.periods import blocks_of
from projections.postgres.tables import read_models, texts_column, time_column
from projections.read_models.projected import ProjectedBatch
from projections.read_models.search_index import PENDING_KIB
from projections.read_models.tasks import sort_column, sort_values, status_bucket_of

INDEXED_ORDERS = tuple(name for name in SORT_ORDERS if name != "updated_at")
"""The sort orders with an index: all but that of the last changes, in which every version has its own place.

In that order a walk would read all versions that have ended, so the tasks that existed then are sorted.
"""

task_versions = Table(
    "task_versions",
    read_models,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    time_column("since"),
    time_column("until"),
    time_column("known_since"),
    time_column("known_until"),
    Column("list_id", Text, nullable=False),
    Column("status_bucket", SmallInteger, nullable=False),
    *map(sort_column, SORT_ORDERS.values()),
    Column("due", Text),
    texts_column("facets"),
    # `projections.postgres.periods`: two blocks for each clock.
    Column("blocks", ARRAY(BigInteger), nullable=False),
    # Most versions of a task have the same place in an order, so they share an entry of its index. With the
    # times, it would be several times larger.
    *(
        Index(f"task_versions_by_{name}", "list_id", "status_bucket", SORT_ORDERS[name].column, "id")
        for name in INDEXED_ORDERS
    ),
    Index(
        "task_versions_by_facets_and_blocks",
        "facets",
        "blocks",
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": PENDING_KIB},
    ),
)
"""The past versions of tasks: how they are found, and when they were valid; `audit` has the states."""

TABLES = (task_versions,)
VERSION = 1

COLUMNS = tuple(column.name for column in task_versions.columns)
_CUT = """
    UPDATE task_versions SET until = least(until, $3), known_until = least(known_until, $4)
    WHERE id = $1 AND version < $2 AND (until > $3 OR known_until > $4)
"""


class _Cut(NamedTuple):
    """A version whose end precedes its start: the periods of earlier ones may have to end there too."""

    id: str
    version: int
    until: datetime
    known_until: datetime


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write every version that the batch ends."""
    rows: list[tuple[Any, ...]] = []
    cuts: list[_Cut] = []
    for _, projected in batch.task_versions():
        before, began, end = projected.folded.before, projected.folded.began, projected.event
        if isinstance(before, Task):
            assert began is not None
            rows.append(_row(before, began, end))
            if _time(end) < began.time or end.recorded_at < began.recorded_at:
                cuts.append(_Cut(before.id, before.version, _time(end), end.recorded_at))
    if rows:
        await connection.copy_records_to_table("task_versions", records=rows, columns=COLUMNS)
    if cuts:
        await connection.executemany(_CUT, cuts)


def _row(task: Task, began: Began, end: RecordedEvent) -> tuple[Any, ...]:
    periods = began.time, _time(end), began.recorded_at, end.recorded_at
    found_by = (task.list_id, status_bucket_of(task), *sort_values(task).values(), task.due, facets_of(task))
    return task.id, task.version, *periods, *found_by, blocks_of(*periods)


def _time(event: RecordedEvent) -> datetime:
    assert event.time is not None
    return event.time
