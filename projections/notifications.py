"""The read model of notifications: what users were told, and what they said of having read it.

These are two halves of a row, which meet in any order: they come from different partitions of the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.lists import TaskList
from app.notifications import notified
from app.records import Record
from app.tasks import Task, TaskCommented, TaskCommentEdited
from app.users import AllNotificationsRead, NotificationsRead, NotificationsUnread
from projections.projection import Connection, Projected

# In the order of the key, so that two projectors that meet wait for each other, and not both.
_TELL = """
    INSERT INTO notifications AS n
        (user_id, id, kind, task_id, list_id, comment_id, actor, "time", partition, "offset")
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::timestamptz[], $9::int[], $10::bigint[]
    )
    ON CONFLICT (user_id, id) DO UPDATE SET
        kind = excluded.kind, task_id = excluded.task_id, list_id = excluded.list_id,
        comment_id = excluded.comment_id, actor = excluded.actor, "time" = excluded."time",
        partition = excluded.partition, "offset" = excluded."offset"
    WHERE n.kind IS NULL OR (excluded.partition, excluded."offset") < (n.partition, n."offset")
"""
_SAY = """
    INSERT INTO notifications (user_id, id, read, read_version)
    SELECT $1, unnest($2::text[]), $3::boolean, $4::bigint
    ON CONFLICT (user_id, id) DO UPDATE SET read = excluded.read, read_version = excluded.read_version
"""
_FORGET_MARKS = "DELETE FROM notification_marks WHERE user_id = $1 AND read_until <= $2"
_MARK = "INSERT INTO notification_marks (user_id, read_until, version) VALUES ($1, $2, $3)"


async def write(connection: Connection, batch: list[Projected]) -> None:
    """Write whom the batch tells of what, and what users have read."""
    accepted = [each for each in batch if each.folded.outcome == "accepted"]
    rows = [row for projected in accepted for row in _rows(projected)]
    if rows:
        await connection.execute(_TELL, *zip(*_once(rows), strict=True))
    for projected in accepted:
        if projected.folded.record is not None:
            await _follow(connection, projected.folded.record)


def _rows(projected: Projected) -> list[tuple[Any, ...]]:
    record, after = projected.folded.record, projected.folded.after
    told = {} if record is None else notified(record)
    if not told or record is None or not isinstance(after, Task | TaskList):
        return []
    task_id, list_id = (after.id, after.list_id) if isinstance(after, Task) else (None, after.id)
    said = isinstance(record.data, TaskCommented | TaskCommentEdited)
    comment_id = record.data.comment_id if said else None  # type: ignore[union-attr]
    rest = (task_id, list_id, comment_id, record.actor, record.time, *projected.folded.raw.position)
    return [(user, record.id, kind, *rest) for user, kind in told.items()]


def _once(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """One row for each user and id, the first by position: foreign streams may share an event id."""
    first: dict[tuple[str, str], tuple[Any, ...]] = {}
    for row in sorted(rows, key=lambda row: row[-2:], reverse=True):
        first[row[:2]] = row
    return [first[key] for key in sorted(first)]


async def _follow(connection: Connection, record: Record) -> None:
    user, version = record.stream_key, record.version
    match record.data:
        case NotificationsRead(ids=ids):
            await connection.execute(_SAY, user, sorted(set(ids)), True, version)
        case NotificationsUnread(ids=ids):
            await connection.execute(_SAY, user, sorted(set(ids)), False, version)
        case AllNotificationsRead(until=until):
            await connection.execute(_FORGET_MARKS, user, until)
            await connection.execute(_MARK, user, until, version)
        case _:
            pass
