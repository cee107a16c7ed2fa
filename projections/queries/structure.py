"""Queries for violations of the rules that span streams: candidates, and their related states.

The queries find candidates; the pure rules decide whether they violate a rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.ids import inbox_id
from app.imported_history import importer
from app.lists.state import TaskList
from app.policies import SOURCE as RECURRENCE
from app.stream_ids import StreamId, list_stream, task_stream
from app.structure.rules import Placement, StructureState
from app.tasks.checks import MAX_DEPTH
from app.tasks.state import Task
from app.values import Category
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.postgres.database import Database
from projections.postgres.id_columns import text_of
from projections.postgres.snapshots import snapshot
from projections.queries import sub_tasks
from projections.read_models import lists
from projections.read_models.members import WITHOUT_OWNER

DEEPEST = MAX_DEPTH + 1
_RECENT = "interval '1 minute'"
CANDIDATES = f"""
    WITH RECURSIVE below AS (
        SELECT unnest($1::text[]) AS id, 0 AS depth
        UNION
        SELECT tasks.id, depth + 1 FROM below JOIN tasks ON tasks.parent_id = below.id WHERE depth < {DEEPEST}
    ),
    scope AS (
        SELECT DISTINCT id FROM below
        UNION SELECT id FROM tasks WHERE list_id = ANY($2::text[])
    ),
    alive AS MATERIALIZED (
        SELECT tasks.id, list_id, parent_id, status, stage, updated_at
        FROM scope JOIN tasks USING (id) WHERE deleted_at IS NULL
    ),
    line AS (
        SELECT id AS start, parent_id AS id, 1 AS height FROM alive WHERE parent_id IS NOT NULL
        UNION ALL
        SELECT start, tasks.parent_id, height + 1 FROM line JOIN tasks ON tasks.id = line.id
        WHERE tasks.parent_id IS NOT NULL AND height < {DEEPEST}
    )
    SELECT alive.id FROM alive
    LEFT JOIN tasks AS parent ON parent.id = alive.parent_id
    LEFT JOIN lists AS home ON home.id = alive.list_id
    WHERE home.id IS NULL
        OR (home.deleted_at IS NOT NULL AND (
            (NOT $3 AND alive.id = ANY($1)) OR alive.updated_at >= home.deleted_at - {_RECENT}
        ))
        OR (alive.parent_id IS NOT NULL AND (
            parent.id IS NULL OR parent.deleted_at IS NOT NULL OR parent.list_id <> alive.list_id
            OR (alive.status = 'open' AND parent.status = 'done')
        ))
        OR (alive.stage IS NOT NULL AND home.deleted_at IS NULL AND home.stages <> '[]' AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(home.stages) AS known
            WHERE known ->> 'name' = alive.stage
                AND NOT (alive.status = 'open' AND known ->> 'category' = 'done')
        ))
    UNION SELECT start FROM line WHERE id = start OR height >= {MAX_DEPTH}
"""  # noqa: S608
PAGE = "SELECT id FROM tasks WHERE id > $1 ORDER BY id LIMIT $2"
OWNERLESS = f"""
    SELECT id FROM lists WHERE ($1::text[] IS NULL OR id = ANY($1)) AND (
        {WITHOUT_OWNER}
    )
"""  # noqa: S608
TWICE = """
    SELECT unnest(array_agg(id)) AS id FROM tasks WHERE series IS NOT NULL AND deleted_at IS NULL
    GROUP BY series ->> 'id', series ->> 'occurrence' HAVING count(*) > 1
"""
# The next occurrence belongs to the list of its series, even a deleted one: it was not moved there.
_PLACED = f"""
    SELECT id, recorded_at, actor, source, origin FROM (
        SELECT DISTINCT ON (stream)
            {stream_sql.KEY} AS id, recorded_at, actor, source, former ->> 'list_id' AS origin
        FROM audit
        WHERE {stream_sql.is_one_of("$1")} AND outcome = 'accepted'
            AND (version = 1 OR former::jsonb ?| ARRAY['list_id', 'deleted_at'])
        ORDER BY stream, version DESC
    ) AS newest WHERE source <> $2
"""  # noqa: S608
_PARENT_SET = f"""
    SELECT DISTINCT ON (stream) {stream_sql.KEY} AS id, recorded_at
    FROM audit WHERE {stream_sql.is_one_of("$1")} AND outcome = 'accepted'
        AND (former::jsonb ? 'parent_id' OR version = 1 AND data ? 'parent_id')
    ORDER BY stream, version DESC
"""  # noqa: S608
_LIST_DELETED = f"""
    SELECT DISTINCT ON (stream) {stream_sql.KEY} AS id, recorded_at
    FROM audit WHERE {stream_sql.is_one_of("$1")} AND outcome = 'accepted' AND former::jsonb ? 'deleted_at'
    ORDER BY stream, version DESC
"""  # noqa: S608
_FORMER_STAGES = f"""
    SELECT {stream_sql.KEY} AS id, stage ->> 'name' AS name, stage ->> 'category' AS category
    FROM audit CROSS JOIN LATERAL jsonb_array_elements(nullif(former::jsonb -> 'stages', 'null')) AS stage
    WHERE {stream_sql.is_one_of("$1")} AND outcome = 'accepted' AND former::jsonb ? 'stages' ORDER BY version
"""  # noqa: S608
_CAUSE = f"""
    SELECT {text_of("event_id")} AS event_id, actor, {text_of("correlation_id")} AS correlation_id FROM audit
    WHERE {stream_sql.is_one_of("$1")} AND outcome = 'accepted' AND version > 0
    ORDER BY recorded_at DESC, version DESC LIMIT 1
"""  # noqa: S608
_HELD = "SELECT stream FROM dead_letters WHERE stream = ANY($1) AND holds"
_PROJECTED = "SELECT partition, next_offset FROM checkpoints"


@dataclass(frozen=True, slots=True)
class RepairCause:
    """The newest event on the streams that a violation spans."""

    event_id: str
    actor: str
    correlation_id: str | None


@dataclass(slots=True)
class Candidates:
    """Ids of tasks and lists that may violate a rule."""

    tasks: set[str] = field(default_factory=set)
    lists: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.tasks or self.lists)

    def __len__(self) -> int:
        return len(self.tasks) + len(self.lists)

    def add(self, other: Candidates) -> None:
        """Add other candidates."""
        self.tasks |= other.tasks
        self.lists |= other.lists


class StructureQueries:
    """The queries, on the live generation."""

    def __init__(self, database: Database) -> None:
        self._pool = database.pool

    async def projected(self) -> dict[int, int]:
        """Return the offset up to which each partition is projected."""
        return {row["partition"]: row["next_offset"] for row in await self._pool.fetch(_PROJECTED)}

    async def candidates(self, changed: Candidates, *, is_sweep: bool = False) -> Candidates:
        """Return the tasks and lists that may violate a rule, among the changed ones and those below them.

        In a sweep, skip tasks without a change around the deletion of their list.
        """
        ids, list_ids = list(changed.tasks), [] if is_sweep else list(changed.lists)
        rows = await self._pool.fetch(CANDIDATES, ids, list_ids, is_sweep)
        ownerless = (
            await self._pool.fetch(OWNERLESS, None if is_sweep else list_ids)
            if (is_sweep or list_ids)
            else []
        )
        return Candidates({row["id"] for row in rows}, {row["id"] for row in ownerless})

    async def page(self, after: str, limit: int) -> list[str]:
        """Return a page of task ids, in order, for a sweep."""
        return [row["id"] for row in await self._pool.fetch(PAGE, after, limit)]

    async def duplicate_occurrences(self) -> set[str]:
        """Return the tasks that share an occurrence of a series with another task."""
        return {row["id"] for row in await self._pool.fetch(TWICE)}

    async def state(self, candidates: Candidates) -> StructureState:
        """Return the states around candidates, and the rules' input from the audit, on one snapshot."""
        async with snapshot(self._pool) as connection:
            return await _state(connection, candidates)

    async def cause(self, streams: Collection[str]) -> RepairCause | None:
        """Return the newest event of these streams."""
        row = await self._pool.fetchrow(_CAUSE, list(streams))
        return None if row is None else RepairCause(row["event_id"], row["actor"], row["correlation_id"])

    async def held(self, streams: Collection[str]) -> set[str]:
        """Return those of these streams that a parked record holds."""
        rows = await self._pool.fetch(_HELD, list(streams)) if streams else []
        return {row["stream"] for row in rows}


async def _state(connection: Connection, candidates: Candidates) -> StructureState:
    found = (await sub_tasks.lines(connection, candidates.tasks)).tasks
    homes = await lists.load(connection, sorted({task.list_id for task in found.values()} | candidates.lists))
    away = [each.id for each in found.values() if _is_away(each, homes)]
    placed = await _placements(connection, away)
    more = {place.from_list_id for place in placed.values() if place.from_list_id}
    more |= {inbox_id(place.actor) for place in placed.values()}
    more |= {inbox_id(found[task_id].created_by) for task_id in away}
    homes = {**homes, **await lists.load(connection, sorted(more - homes.keys()))}
    deleted = [home.id for home in homes.values() if home.deleted_at is not None]
    lost = {task.list_id for task in found.values() if task.stage is not None}
    return StructureState(
        tasks=found,
        lists=homes,
        placements=placed,
        list_deleted_at=await _times(connection, _LIST_DELETED, [list_stream(key) for key in deleted]),
        parent_set_at=await _times(connection, _PARENT_SET, _with_parents(found.values())),
        former_categories=await _former_categories(connection, lost),
    )


def _is_away(task: Task, homes: Mapping[str, TaskList]) -> bool:
    home = homes.get(task.list_id)
    return task.deleted_at is None and (home is None or home.deleted_at is not None)


def _with_parents(found: Iterable[Task]) -> list[StreamId]:
    return [task_stream(task.id) for task in found if task.parent_id is not None]


async def _placements(connection: Connection, task_ids: Collection[str]) -> dict[str, Placement]:
    streams = [task_stream(key) for key in task_ids]
    rows = await connection.fetch(_PLACED, streams, RECURRENCE) if streams else []
    return {
        row["id"]: Placement(row["recorded_at"], importer(row["source"]) or row["actor"], row["origin"])
        for row in rows
    }


async def _times(connection: Connection, query: str, streams: Collection[StreamId]) -> dict[str, datetime]:
    rows = await connection.fetch(query, streams) if streams else []
    return {row["id"]: row["recorded_at"] for row in rows}


async def _former_categories(
    connection: Connection, list_ids: Collection[str]
) -> dict[tuple[str, str], Category]:
    rows = await connection.fetch(_FORMER_STAGES, [list_stream(key) for key in list_ids]) if list_ids else []
    return {(row["id"], row["name"]): row["category"] for row in rows}
