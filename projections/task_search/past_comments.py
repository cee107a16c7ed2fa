"""The comments on tasks as they were at earlier versions, from the audit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pydantic_core import from_json

from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection

_COMMENTS = f"""
    SELECT id, version, data FROM unnest($1::text[], $2::bigint[]) AS wanted(id, last) CROSS JOIN LATERAL (
        SELECT version, data FROM audit
        WHERE {stream_sql.is_stream(stream_sql.stream_of("task", "wanted.id"))}
          AND outcome = 'accepted' AND version <= wanted.last AND type = ANY($3)
        ORDER BY version DESC LIMIT $4
    ) AS newest
"""  # noqa: S608
_COMMENT_EVENTS = [each.type for each in (TaskCommented, TaskCommentEdited, TaskCommentDeleted)]


async def comments_at(
    connection: Connection, versions: Mapping[str, int], limit: int
) -> Mapping[str, Sequence[str]]:
    """Return the comments of tasks at these versions, newest first, from at most `limit` events of each."""
    comments: dict[str, dict[str, str | None]] = defaultdict(dict)
    rows = await connection.fetch(_COMMENTS, list(versions), list(versions.values()), _COMMENT_EVENTS, limit)
    for row in sorted(rows, key=lambda row: row["version"], reverse=True):
        event = from_json(row["data"])
        comment_id, text = event["comment_id"], event.get("text")
        if text is None:
            comments[row["id"]][comment_id] = None  # Later events of a deleted comment change nothing.
        else:
            # The newest event of a comment comes first; older ones do not replace it.
            comments[row["id"]].setdefault(comment_id, text)
    return {
        task_id: [text for text in texts.values() if text is not None] for task_id, texts in comments.items()
    }
