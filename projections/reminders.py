"""The read model of reminders that have not fired: what is to be told, and when."""

from __future__ import annotations

from datetime import datetime

from app.reminders import pending
from app.tasks import Task
from projections.projection import Connection, Projected

_FORGET = "DELETE FROM reminders WHERE task_id = ANY($1)"
_WRITE = """
    INSERT INTO reminders (task_id, "at", instant, partition)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::int[])
"""


async def write(connection: Connection, batch: list[Projected]) -> None:
    """Write the reminders of every task of the batch that has some, or had."""
    newest: dict[str, tuple[Task, int]] = {}
    for projected in batch:
        before, after = projected.folded.before, projected.folded.after
        if projected.folded.outcome != "accepted" or not isinstance(after, Task):
            continue
        if after.reminders or (isinstance(before, Task) and before.reminders) or after.id in newest:
            newest[after.id] = after, projected.folded.raw.position.partition
    if not newest:
        return
    await connection.execute(_FORGET, list(newest))
    rows = [
        (task.id, datetime.fromisoformat(instant), instant, partition)
        for task, partition in newest.values()
        for instant in pending(task)
    ]
    if rows:
        await connection.execute(_WRITE, *zip(*rows, strict=True))
