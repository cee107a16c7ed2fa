"""The read model of notifications: those that users received, and their read marks.

These are two halves of a row, which arrive in any order: they come from different partitions of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, text

from app.lists.state import TaskList
from app.log.recipients import Kind, notified
from app.log.records import Record
from app.tasks.events import TaskCommented, TaskCommentEdited
from app.tasks.state import Task
from app.text.graphemes import boundary_before
from app.users import AllNotificationsRead, NotificationsRead, NotificationsUnread
from projections.postgres.connections import Connection
from projections.postgres.snapshots import positions_at, snapshot
from projections.postgres.tables import read_models, time_column
from projections.read_models.members import seen_by
from projections.read_models.projected import Projected, ProjectedBatch

notifications = Table(
    "notifications",
    read_models,
    Column("user_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    # The content of the notification; null while only the user's read mark has been folded.
    Column("kind", Text),
    Column("task_id", Text),
    Column("list_id", Text),
    Column("comment_id", Text),
    Column("actor", Text),
    time_column("time", nullable=True),
    Column("partition", Integer),
    Column("offset", BigInteger),
    # The user's read mark, and the version of their stream that set it; see notification_marks.
    Column("read", Boolean),
    Column("read_version", BigInteger),
    Index("notifications_by_time", "user_id", "time", "id", postgresql_where=text("time IS NOT NULL")),
    Index(
        "notifications_not_read",
        "user_id",
        "time",
        "id",
        postgresql_where=text("time IS NOT NULL AND read IS NOT TRUE"),
    ),
    Index(
        "notifications_unread_again",
        "user_id",
        "time",
        "id",
        postgresql_where=text("time IS NOT NULL AND read IS FALSE"),
    ),
)
"""The notifications of users, and their read marks; `id` is the event's.

Both halves of a row come from different partitions of the log, in any order.
"""

notification_marks = Table(
    "notification_marks",
    read_models,
    Column("user_id", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    time_column("read_until"),
)
"""The times up to which users have read everything, with the version of their stream that set them.

A mark that a later one covers is removed. A mark overrides earlier read marks of single notifications.
"""

TABLES = (notifications, notification_marks)
VERSION = 1

# In the order of the key, so that two concurrent projectors cannot deadlock.
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


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the batch's notifications, and the read marks of users."""
    accepted = [each for each in batch.records if each.folded.outcome == "accepted"]
    rows = [row for projected in accepted for row in _rows(projected)]
    if rows:
        await connection.execute(_TELL, *zip(*_once(rows), strict=True))
    for projected in accepted:
        if projected.folded.record is not None:
            await _follow(connection, projected.folded.record)


def _rows(projected: Projected) -> list[tuple[Any, ...]]:
    record, after = projected.folded.record, projected.folded.after
    recipients = {} if record is None else notified(record)
    if not recipients or record is None or not isinstance(after, Task | TaskList):
        return []
    task_id, list_id = (after.id, after.list_id) if isinstance(after, Task) else (None, after.id)
    is_comment = isinstance(record.data, TaskCommented | TaskCommentEdited)
    comment_id = record.data.comment_id if is_comment else None  # type: ignore[union-attr]
    rest = (task_id, list_id, comment_id, record.actor, record.time, *projected.folded.raw.position)
    return [(user, record.id, kind, *rest) for user, kind in recipients.items()]


def _once(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return one row for each user and id, the first by position: foreign streams may share an event id."""
    first: dict[tuple[str, str], tuple[Any, ...]] = {}
    for row in sorted(rows, key=lambda row: row[-2:], reverse=True):
        first[row[:2]] = row
    return [first[key] for key in sorted(first)]


async def _follow(connection: Connection, record: Record) -> None:
    user, version = record.stream.key, record.version
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


MAX_UNREAD = 1_000
"""Unread notifications are counted up to here: larger numbers are of no use, and slow to count."""
EXCERPT_CHARS = 200
_READ_CHARS = EXCERPT_CHARS + 1
"""One character more shows whether a grapheme cluster ends at the end of the excerpt."""
_BEGINNING, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

READ = """
    (n.read IS TRUE OR EXISTS (
        SELECT 1 FROM notification_marks m
        WHERE m.user_id = n.user_id AND m.read_until >= n.time AND m.version > coalesce(n.read_version, 0)
    ))
"""
"""The condition that a notification is read: by the user's last mark of it, or of all up to a time."""

# The limit keeps it separate, so that the planner follows the notifications' index and checks each in turn.
_SEEN = f"""
    notifications n CROSS JOIN LATERAL (
        SELECT l.id AS list_id, coalesce(t.title, l.name) AS title, left(c.text, {_READ_CHARS}) AS excerpt
        FROM (SELECT 1) AS nothing
        LEFT JOIN tasks t ON t.id = n.task_id
        LEFT JOIN comments c ON c.task_id = n.task_id AND c.id = n.comment_id
        JOIN lists l ON l.id = coalesce(t.list_id, n.list_id)
        {seen_by("n.user_id", "l.id")}
        WHERE t.deleted_at IS NULL AND c.deleted_at IS NULL
        LIMIT 1
    ) AS seen
"""  # noqa: S608
_COLUMNS = f"""
    n.id, n.kind, {READ} AS read, n.actor, n.task_id, seen.list_id, n.comment_id, seen.title, seen.excerpt,
    n.time, n.partition || ':' || n."offset" AS position
"""
_ONE = f"SELECT {_COLUMNS} FROM {_SEEN} WHERE n.user_id = $1 AND n.id = $2 AND n.time IS NOT NULL"  # noqa: S608
PAGE = f"""
    SELECT {_COLUMNS} FROM {_SEEN}
    WHERE n.user_id = $1 AND n.time IS NOT NULL AND (n.time, n.id) < ($2, $3)
    ORDER BY n.time DESC, n.id DESC LIMIT $4
"""  # noqa: S608

# Notifications after everything was read, then those that were set back to unread before that.
_NEWER = f"FROM {_SEEN} WHERE n.user_id = $1 AND n.time > $2 AND n.read IS NOT TRUE"
_OLDER = f"FROM {_SEEN} WHERE n.user_id = $1 AND n.time <= $2 AND n.read IS FALSE AND NOT {READ}"
_PART = "AND (n.time, n.id) < ($3, $4) ORDER BY n.time DESC, n.id DESC LIMIT $5"
UNREAD_PAGE = f"""
    (SELECT {_COLUMNS} {_NEWER} {_PART}) UNION ALL (SELECT {_COLUMNS} {_OLDER} {_PART})
    ORDER BY time DESC, id DESC LIMIT $5
"""
UNREAD = f"""
    SELECT count(*) FROM (
        (SELECT 1 {_NEWER}) UNION ALL (SELECT 1 {_OLDER}) LIMIT {MAX_UNREAD}
    ) AS unread
"""  # noqa: S608
_READ_UNTIL = "SELECT max(read_until) FROM notification_marks WHERE user_id = $1"
_NEWEST = "SELECT max(time) FROM notifications WHERE user_id = $1 AND time IS NOT NULL"
_ANY_UNREAD = f"""
    SELECT EXISTS (SELECT 1 {_NEWER} AND n.time <= $3) OR EXISTS (SELECT 1 {_OLDER} AND n.time <= $3)
"""


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification. `list_id` and `title` are the present ones of the task, or list.

    `actor` is the user who did it; of a reminder, `tasktape`. `excerpt` is the beginning of the comment.
    """

    id: str
    kind: Kind
    read: bool
    actor: str
    task_id: str | None
    list_id: str
    comment_id: str | None
    title: str
    excerpt: str | None
    time: datetime
    position: str


@dataclass(frozen=True, slots=True)
class NotificationPage:
    """A page of notifications, newest first, and the positions of its snapshot; `more` if others follow.

    `unread` counts all of the user's, up to `MAX_UNREAD`.
    """

    items: Sequence[Notification]
    more: bool
    unread: int
    positions: dict[int, int]


class NotificationQueries:
    """The queries, on a pool of the live generation."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def page(
        self, user: str, *, unread: bool, after: tuple[datetime, str] | None, limit: int
    ) -> NotificationPage:
        """Return one page of the user's notifications, or of the unread ones."""
        place = after or (_END, "")
        async with snapshot(self._pool) as connection:
            positions = await positions_at(connection)
            read_until = await _read_until(connection, user)
            count = await connection.fetchval(UNREAD, user, read_until)
            if unread:
                rows = await connection.fetch(UNREAD_PAGE, user, read_until, *place, limit + 1)
            else:
                rows = await connection.fetch(PAGE, user, *place, limit + 1)
        return NotificationPage(
            [_notification(row) for row in rows[:limit]], len(rows) > limit, count, positions
        )

    async def one(self, user: str, notification_id: str) -> Notification | None:
        """Return one of the user's notifications."""
        row = await self._pool.fetchrow(_ONE, user, notification_id)
        return None if row is None else _notification(row)

    async def unread(self, user: str) -> int:
        """Return the number of unread notifications; `MAX_UNREAD` means that many or more."""
        async with snapshot(self._pool) as connection:
            return int(await connection.fetchval(UNREAD, user, await _read_until(connection, user)))

    async def newest(self, user: str) -> datetime | None:
        """Return the time of the user's newest notification."""
        time: datetime | None = await self._pool.fetchval(_NEWEST, user)
        return time

    async def any_unread(self, user: str, until: datetime) -> bool:
        """Return whether a notification up to a time is unread."""
        async with snapshot(self._pool) as connection:
            read_until = await _read_until(connection, user)
            return bool(await connection.fetchval(_ANY_UNREAD, user, read_until, until))


def _notification(row: asyncpg.Record) -> Notification:
    """Return a row's notification, whose excerpt ends between grapheme clusters."""
    notification = Notification(*row)
    if (excerpt := notification.excerpt) is None:
        return notification
    return replace(notification, excerpt=excerpt[: boundary_before(excerpt, EXCERPT_CHARS)])


async def _read_until(connection: Connection, user: str) -> datetime:
    """Return the time up to which the user has read everything, except what was set back to unread."""
    time: datetime | None = await connection.fetchval(_READ_UNTIL, user)
    return time or _BEGINNING
