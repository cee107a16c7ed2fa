"""The read model of comments: one row for each that was ever made."""

from __future__ import annotations

from app.records import Record
from app.tasks import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from projections.projection import Connection, Projected

_INSERT = """
    INSERT INTO comments (task_id, id, author, text, mentions, created_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
_EDIT = """
    UPDATE comments SET text = $3, edited_at = $4
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
        case TaskCommentEdited(comment_id=comment_id, text=text):
            await connection.execute(_EDIT, task_id, comment_id, text, record.time)
        case TaskCommentDeleted(comment_id=comment_id):
            await connection.execute(_DELETE, task_id, comment_id, record.time)
        case _:
            pass
