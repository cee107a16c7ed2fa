"""The read model of comments: one row for each comment, including deleted ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from pydantic_core import from_json
from sqlalchemy import Column, Index, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from app.log.records import Record
from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from app.tasks.mentions import mentions_in
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.postgres.snapshots import positions_at, snapshot
from projections.postgres.tables import read_models, time_column
from projections.read_models.members import seen_by
from projections.read_models.projected import ProjectedBatch
from projections.read_models.task_texts import COMMENT

comments = Table(
    "comments",
    read_models,
    Column("task_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("author", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("mentions", ARRAY(Text), nullable=False),
    time_column("created_at"),
    time_column("edited_at", nullable=True),
    time_column("deleted_at", nullable=True),
    Index("comments_by_task", "task_id", "created_at", "id"),
)
"""The comments on tasks, including deleted ones."""

TABLES = (comments,)
VERSION = 1

_INSERT = """
    INSERT INTO comments (task_id, id, author, text, mentions, created_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
_MENTIONED = "SELECT mentions FROM comments WHERE task_id = $1 AND id = $2"
_EDIT = """
    UPDATE comments SET text = $3, mentions = $4, edited_at = $5
    WHERE task_id = $1 AND id = $2 AND deleted_at IS NULL
"""
_DELETE = "UPDATE comments SET deleted_at = $3 WHERE task_id = $1 AND id = $2 AND deleted_at IS NULL"


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the changes of comments in the batch, in order."""
    for projected in batch.records:
        record = projected.folded.record
        if projected.folded.outcome == "accepted" and record is not None:
            await _follow(connection, record)


async def _follow(connection: Connection, record: Record) -> None:
    task_id = record.stream.key
    match record.data:
        case TaskCommented(comment_id=comment_id, text=text, mentions=mentions):
            await connection.execute(
                _INSERT, task_id, comment_id, record.actor, text, list(mentions), record.time
            )
        case TaskCommentEdited(comment_id=comment_id, text=text, mentions=mentions):
            known = await connection.fetchval(_MENTIONED, task_id, comment_id) or []
            still = mentions_in(text, {*known, *mentions})
            await connection.execute(_EDIT, task_id, comment_id, text, list(still), record.time)
        case TaskCommentDeleted(comment_id=comment_id):
            await connection.execute(_DELETE, task_id, comment_id, record.time)
        case _:
            pass


_COLUMNS = "id, task_id, author, text, mentions, created_at, edited_at"
PAGE = f"""
    SELECT {_COLUMNS} FROM comments
    WHERE task_id = $1 AND deleted_at IS NULL AND (created_at, id) > ($2, $3)
    ORDER BY created_at, id LIMIT $4
"""  # noqa: S608
_ONE = f"SELECT {_COLUMNS} FROM comments WHERE task_id = $1 AND id = $2 AND deleted_at IS NULL"  # noqa: S608
# The texts of a comment have the versions at which each event of it took effect.
PAGE_AT = f"""
    SELECT id, task_id, author, created_at, events.* FROM comments CROSS JOIN LATERAL (
        SELECT array_agg(audit.data ORDER BY audit.version) AS data,
            array_agg(audit.time ORDER BY audit.version) AS times,
            bool_or(x.end_version IS NULL OR x.end_version > $2) AS is_there
        FROM task_texts x JOIN audit
            ON {stream_sql.is_stream(stream_sql.stream_of("task", "x.task_id"), "audit.stream")}
            AND audit.version = x.first_version AND audit.outcome = 'accepted'
        WHERE x.task_id = comments.task_id AND x.place = '{COMMENT}' || comments.id AND x.first_version <= $2
    ) AS events
    WHERE task_id = $1 AND events.is_there AND (created_at, id) > ($3, $4) ORDER BY created_at, id LIMIT $5
"""  # noqa: S608
_VISIBLE = f"""
    SELECT EXISTS (
        SELECT FROM tasks {seen_by("$2", "tasks.list_id")} WHERE tasks.id = $1 AND deleted_at IS NULL
    )
"""  # noqa: S608


_FIRST = datetime.min.replace(tzinfo=UTC), ""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a task; `mentions` are the users whom the text names."""

    id: str
    task_id: str
    author: str
    text: str
    mentions: tuple[str, ...]
    created_at: datetime
    edited_at: datetime | None


@dataclass(frozen=True, slots=True)
class CommentPage:
    """A page of comments, oldest first, and the positions of its snapshot; `more` if others follow."""

    items: Sequence[Comment]
    more: bool
    positions: dict[int, int]


class CommentQueries:
    """The queries, on a pool of the live generation."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def page(
        self, user: str, task_id: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> CommentPage | None:
        """Return one page of a task's comments; None if `user` may not see the task, or it is deleted."""
        created_at, comment_id = after or _FIRST
        async with snapshot(self._pool) as connection:
            if not await _may_see(connection, user, task_id):
                return None
            positions = await positions_at(connection)
            rows = await connection.fetch(PAGE, task_id, created_at, comment_id, limit + 1)
        return CommentPage([_comment(row) for row in rows[:limit]], len(rows) > limit, positions)

    async def page_at(
        self, task_id: str, version: int, *, after: tuple[datetime, str] | None, limit: int
    ) -> CommentPage:
        """Return one page of the comments that a task had at a version. The caller checks permissions."""
        created_at, comment_id = after or _FIRST
        async with snapshot(self._pool) as connection:
            positions = await positions_at(connection)
            rows = await connection.fetch(PAGE_AT, task_id, version, created_at, comment_id, limit + 1)
        return CommentPage([_comment_then(row) for row in rows[:limit]], len(rows) > limit, positions)

    async def one(self, user: str, task_id: str, comment_id: str) -> tuple[Comment, dict[int, int]] | None:
        """Return a comment, with the positions of the same snapshot; None if `user` may not see it."""
        async with snapshot(self._pool) as connection:
            if not await _may_see(connection, user, task_id):
                return None
            positions = await positions_at(connection)
            row = await connection.fetchrow(_ONE, task_id, comment_id)
        return None if row is None else (_comment(row), positions)


async def _may_see(connection: Connection, user: str, task_id: str) -> bool:
    return bool(await connection.fetchval(_VISIBLE, task_id, user))


def _comment(row: asyncpg.Record) -> Comment:
    return Comment(**{**row, "mentions": tuple(row["mentions"])})


def _comment_then(row: asyncpg.Record) -> Comment:
    """Return a comment from its events up to a version: mentions of earlier texts stay known."""
    events = [from_json(data) for data in row["data"]]
    mentions = tuple(events[0].get("mentions", ()))
    for event in events[1:]:
        mentions = mentions_in(event["text"], {*mentions, *event.get("mentions", ())})
    return Comment(
        id=row["id"],
        task_id=row["task_id"],
        author=row["author"],
        text=events[-1]["text"],
        mentions=mentions,
        created_at=row["created_at"],
        edited_at=row["times"][-1] if len(events) > 1 else None,
    )
