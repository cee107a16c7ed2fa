"""Tasks by a part of their ids: as the command line shortens them, and users type them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from projections.postgres.connections import Connection
from projections.read_models.members import seen_by

CANDIDATES = 10_000
"""The number of tasks of all users to examine, at most: ids of one minute may share a prefix."""
FOUND = 10
"""The number of tasks to return; already two are ambiguous."""
_LOWEST = "00000000-0000-0000-0000-000000000000"
_HIGHEST = "ffffffff-ffff-ffff-ffff-ffffffffffff"

BY_ID_PART = f"""
    WITH candidates AS (
        (SELECT id FROM tasks WHERE id BETWEEN $2 AND $3 LIMIT $6)
        UNION
        (SELECT id FROM tasks WHERE reverse(id) COLLATE "C" >= $4 AND reverse(id) COLLATE "C" < $5 LIMIT $6)
    )
    SELECT tasks.id, tasks.title, (SELECT count(*) FROM candidates) AS candidates
    FROM candidates JOIN tasks USING (id) {seen_by("$1", "tasks.list_id")}
    WHERE tasks.deleted_at IS NULL
    ORDER BY tasks.id LIMIT $7
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class TaskName:
    """A task's id and title."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class TaskNames:
    """Tasks whose ids share a prefix or a suffix; with `more`, there may be others."""

    items: Sequence[TaskName]
    more: bool


async def tasks_by_id_part(connection: Connection, user: str, part: str) -> TaskNames:
    """Return the visible tasks of `user` whose ids begin or end with `part`, digits and dashes."""
    backwards = part[::-1]
    rows = await connection.fetch(
        BY_ID_PART,
        user,
        part + _LOWEST[len(part) :],
        part + _HIGHEST[len(part) :],
        backwards,
        backwards + "g",  # It sorts after every digit.
        CANDIDATES,
        FOUND + 1,
    )
    items = [TaskName(row["id"], row["title"]) for row in rows[:FOUND]]
    return TaskNames(items, more=len(rows) > FOUND or bool(rows and rows[0]["candidates"] >= CANDIDATES))
