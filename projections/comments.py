"""The read model of comments: one row for each that was ever made."""

from __future__ import annotations

from app.mentions import mentions_in
from app.records import Record
from app.tasks import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from projections.projection import Connection, Projected

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


async def write(connection: Connection, batch: list[Projected]) -> None:
    """Follow what the batch says of comments, in its order."""
    for projected in batch:
        record = projected.folded.record
        if projected.folded.outcome == "accepted" and record is not None:
            await _follow(connection, record)


async def _follow(connection: Connection, record: Record) -> None:
    task_id = record.stream_key
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
