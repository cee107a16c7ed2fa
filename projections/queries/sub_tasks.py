"""Queries of a task's tree: its sub-tasks on every level, and its ancestors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from app.tasks.checks import MAX_SUB_TASKS
from app.tasks.decision_context import Along, SubTask
from app.tasks.state import Task
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Source
from projections.postgres.id_columns import uuid_of
from projections.postgres.sql_parameters import array
from projections.read_models.dead_letters import HELD_BY
from projections.read_models.tasks import STATE_COLUMNS, task_from_row

MAX_LEVELS = 10
"""Concurrent commands can make a tree deeper than allowed, or even a cycle."""
_TREE = """
    WITH RECURSIVE tree AS (
        SELECT id, 1 AS depth FROM tasks WHERE parent_id = $1{alive}
        UNION
        SELECT tasks.id, depth + 1 FROM tree JOIN tasks ON tasks.parent_id = tree.id{alive}
        WHERE depth < $2
    ),
    once AS (SELECT id, max(depth) AS depth FROM tree WHERE id <> $1 GROUP BY id)
"""
BELOW = f"""
    {_TREE.format(alive=" AND deleted_at IS NULL")}
    SELECT tasks.id, list_id, status, depth FROM once JOIN tasks USING (id)
    ORDER BY depth DESC, rank, id LIMIT $3
"""  # noqa: S608
ALONG = f"""
    {_TREE.format(alive="")},
    line AS (
        SELECT parent_id AS id, -1 AS depth FROM tasks WHERE id = $1 AND parent_id IS NOT NULL
        UNION
        SELECT tasks.parent_id, depth - 1 FROM line JOIN tasks ON tasks.id = line.id
        WHERE tasks.parent_id IS NOT NULL AND depth > -$2
    ),
    around AS (
        SELECT id, depth FROM once
        UNION ALL SELECT id, max(depth) FROM line WHERE id <> $1 GROUP BY id
    )
    SELECT around.id, depth, array_agg(version ORDER BY version DESC) AS versions
    FROM around CROSS JOIN LATERAL (
        SELECT version FROM audit
        WHERE {stream_sql.is_stream(stream_sql.stream_of("task", "around.id"))}
          AND outcome = 'accepted' AND causation_id = $3
        OFFSET 0  -- It is asked of each by itself, however few events there were when this was planned.
    ) AS caused
    GROUP BY around.id, depth ORDER BY depth DESC, around.id LIMIT $4
"""  # noqa: S608
LINES = f"""
    WITH RECURSIVE line AS (
        SELECT id, parent_id, 0 AS height FROM tasks WHERE id = ANY({array("$2", "text")})
        UNION
        SELECT tasks.id, tasks.parent_id, height + 1 FROM line JOIN tasks ON tasks.id = line.parent_id
        WHERE height < $1
    )
    SELECT {", ".join(STATE_COLUMNS)}, {HELD_BY.format(stream=stream_sql.stream_of("task", "tasks.id"))}
    FROM tasks WHERE id IN (SELECT id FROM line)
"""  # noqa: S608
TOPS = f"""
    WITH RECURSIVE line AS (
        SELECT id AS start, id, parent_id, 1 AS height FROM tasks WHERE id = ANY({array("$1", "text")})
        UNION
        SELECT start, tasks.id, tasks.parent_id, height + 1 FROM line JOIN tasks ON tasks.id = line.parent_id
        WHERE height < $2
    )
    SELECT DISTINCT ON (start) start, id FROM line ORDER BY start, height DESC
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Lines:
    """Tasks and all their ancestors, by id; `holders` are the positions of records that hold streams."""

    tasks: Mapping[str, Task] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)


async def below(source: Source, task_id: str) -> Sequence[SubTask]:
    """Return the undeleted tasks below a task, the deepest first; one more than the limit at most."""
    rows = await source.fetch(BELOW, task_id, MAX_LEVELS, MAX_SUB_TASKS + 1)
    return [SubTask(row["id"], row["list_id"], row["status"], row["depth"]) for row in rows]


async def along(source: Source, task_id: str, event_id: str) -> tuple[Along, ...]:
    """Return the tasks below and above, deleted ones included, that have events caused by this one."""
    rows = await source.fetch(ALONG, task_id, MAX_LEVELS, uuid_of(event_id), MAX_SUB_TASKS + 1)
    return tuple(Along(row["id"], row["depth"], tuple(row["versions"])) for row in rows)


async def tops(source: Source, task_ids: Collection[str]) -> Mapping[str, str]:
    """Return the top-level ancestor of each task, or the task itself."""
    rows = await source.fetch(TOPS, list(task_ids), MAX_LEVELS)
    return {row["start"]: row["id"] for row in rows}


async def lines(source: Source, task_ids: Collection[str]) -> Lines:
    """Return these tasks and all their ancestors, deleted ones included, as far as they exist."""
    rows = await source.fetch(LINES, MAX_LEVELS, list(task_ids))
    return Lines(
        {row["id"]: task_from_row(row) for row in rows},
        {row["id"]: row["held_by"] for row in rows if row["held_by"] is not None},
    )
