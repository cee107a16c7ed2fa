"""The read models of notifications: what users were told, and what of it they have read.

Both are kept apart and meet in the query. So it makes no difference in which order a notification and the
news that it was read are folded: they lie in different partitions of the log.
"""

from __future__ import annotations

from typing import Any

from app.lists import TaskList
from app.notifications import notified
from app.records import Record
from app.tasks import Task, TaskCommented, TaskCommentEdited
from app.users import AllNotificationsRead, NotificationsRead, NotificationsUnread
from projections.projection import Connection, Projected
from projections.tables import notifications

EXCERPT_CHARS = 200
_COLUMNS = tuple(column.name for column in notifications.columns)
_READ = """
    INSERT INTO notification_reads (user_id, id, read, version) SELECT $1, unnest($2::text[]), $3, $4
    ON CONFLICT (user_id, id) DO UPDATE SET read = excluded.read, version = excluded.version
"""
_READ_ALL = """
    INSERT INTO notification_marks (user_id, read_until, version) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET read_until = excluded.read_until, version = excluded.version
"""


async def write(connection: Connection, batch: list[Projected]) -> None:
    """Write whom the batch tells of what, and what users have read."""
    rows: list[tuple[Any, ...]] = []
    for projected in batch:
        record = projected.folded.record
        if projected.folded.outcome == "accepted" and record is not None:
            rows += _rows(projected, record)
            await _follow(connection, record)
    if rows:
        await connection.copy_records_to_table("notifications", records=rows, columns=_COLUMNS)


def _rows(projected: Projected, record: Record) -> list[tuple[Any, ...]]:
    told = notified(record)
    after = projected.folded.after
    if not told or not isinstance(after, Task | TaskList):
        return []
    task_id, list_id, title = (
        (after.id, after.list_id, after.title) if isinstance(after, Task) else (None, after.id, after.name)
    )
    said = record.data.text if isinstance(record.data, TaskCommented | TaskCommentEdited) else None
    excerpt = None if said is None else said[:EXCERPT_CHARS]
    rest = (task_id, list_id, record.actor, title, excerpt, record.time, *projected.folded.raw.position)
    return [(user, record.id, kind, *rest) for user, kind in told.items()]


async def _follow(connection: Connection, record: Record) -> None:
    match record.data:
        case NotificationsRead(ids=ids):
            await connection.execute(_READ, record.stream_key, list(set(ids)), True, record.version)
        case NotificationsUnread(ids=ids):
            await connection.execute(_READ, record.stream_key, list(set(ids)), False, record.version)
        case AllNotificationsRead(until=until):
            await connection.execute(_READ_ALL, record.stream_key, until, record.version)
        case _:
            pass
