"""Queries of policies, and their checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import asyncpg
from pydantic_core import from_json

from app.log.event_json import NULL
from app.log.fold import State
from app.log.updates import state_from_json
from app.policies import POLICY_PREFIX, Cause, Successor
from app.positions import Position
from app.stream_ids import StreamId
from app.tasks.events import Series
from app.tasks.state import Task
from projections.postgres import stream_ids as stream_sql
from projections.postgres.database import Database
from projections.postgres.id_columns import text_of
from projections.queries.stream_states import load_streams
from projections.read_models.audit_rows import state_columns, state_from_row
from projections.read_models.tasks import STATE_COLUMNS, task_from_row

REACTING = f"""
    SELECT partition, "offset", stream, {text_of("event_id")} AS event_id, version, actor,
        {text_of("correlation_id")} AS correlation_id, {text_of("causation_id")} AS causation_id,
        {state_columns()}, former
    FROM audit WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3 AND reacts
    ORDER BY "offset" LIMIT $4
"""  # noqa: S608
SUCCESSORS = f"""
    SELECT {", ".join(f"tasks.{name}" for name in STATE_COLUMNS)}, cause_stream, event_ids,
        touched OR EXISTS (
            SELECT FROM tasks AS child WHERE child.parent_id = tasks.id AND child.deleted_at IS NULL
        ) AS touched,
        (
            SELECT coalesce(max(cause.version), 0) FROM audit AS cause
            WHERE cause.event_id = ANY(cause_ids) AND cause.stream = cause_stream
                AND cause.outcome = 'accepted'
        ) AS newest_cause
    FROM unnest($1::text[], $2::text[]) AS wanted(id, cause_stream)
    JOIN tasks ON tasks.id = wanted.id
    CROSS JOIN LATERAL (
        SELECT bool_or(NOT event.source ^@ $3) AS touched,
            array_agg({text_of("event_id", "event")}) FILTER (WHERE event.source ^@ $3) AS event_ids,
            array_agg(event.causation_id) FILTER (WHERE event.source ^@ $3) AS cause_ids
        FROM audit AS event
        WHERE {stream_sql.is_stream(stream_sql.stream_of("task", "wanted.id"), "event.stream")}
          AND event.outcome = 'accepted' AND event.version > 0
    ) AS found
"""  # noqa: S608
_PROJECTED = "SELECT partition, next_offset FROM checkpoints"


@dataclass(frozen=True, slots=True)
class Reacting:
    """A row of the audit that a policy reacts to; `state` and `former` are JSON."""

    position: Position
    stream: StreamId
    event_id: str
    version: int
    actor: str
    correlation_id: str | None
    causation_id: str | None
    state: bytes
    former: str | None

    def cause(self) -> Cause:
        """Decode the row. Raise `ValueError` or `TypeError` if this release cannot."""
        task = state_from_json("task", self.state)
        if not isinstance(task, Task):
            raise TypeError("not a task")
        series = task.series
        if task.status == "open":
            former = from_json(self.former or "{}").get("series")
            series = Series(**former) if former is not None else series
        return Cause(
            self.position,
            self.event_id,
            self.version,
            self.actor,
            self.correlation_id,
            task,
            series,
            came_along=self.causation_id is not None,
        )


class PolicyQueries:
    """The queries, on the live generation; the checkpoints are outside of all generations."""

    def __init__(self, database: Database) -> None:
        self._pool = database.pool
        table = f'"{database.control_schema}".policy_checkpoints'
        self._checkpoints = f"SELECT partition, next_offset FROM {table} WHERE partition = ANY($1)"  # noqa: S608
        self._advance = f"""
            INSERT INTO {table} AS c (partition, next_offset) SELECT * FROM unnest($1::int[], $2::bigint[])
            ON CONFLICT (partition) DO UPDATE SET next_offset = greatest(c.next_offset, excluded.next_offset)
        """  # noqa: S608

    async def checkpoints(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the offset up to which policies have reacted to each of these partitions, or 0."""
        rows = await self._pool.fetch(self._checkpoints, list(partitions))
        return {**dict.fromkeys(partitions, 0), **{row["partition"]: row["next_offset"] for row in rows}}

    async def advance(self, checkpoints: Mapping[int, int]) -> None:
        """Record how far policies have reacted; a checkpoint never moves back."""
        await self._pool.execute(self._advance, list(checkpoints), list(checkpoints.values()))

    async def projected(self) -> dict[int, int]:
        """Return the offset up to which each partition is projected."""
        return {row["partition"]: row["next_offset"] for row in await self._pool.fetch(_PROJECTED)}

    async def reacting(self, partition: int, first: int, end: int, limit: int) -> list[Reacting]:
        """Return the events to react to in `[first, end)` of a partition, at most `limit`, in order."""
        rows = await self._pool.fetch(REACTING, partition, first, end, limit)
        return [_reacting(row) for row in rows]

    async def successors(
        self, wanted: Collection[tuple[str, StreamId]]
    ) -> dict[tuple[str, StreamId], Successor]:
        """Return those of the tasks that exist; each key is a task id and the stream of its causes."""
        ids, streams = [task_id for task_id, _ in wanted], [stream for _, stream in wanted]
        rows = await self._pool.fetch(SUCCESSORS, ids, streams, POLICY_PREFIX)
        return {(row["id"], row["cause_stream"]): _successor(row) for row in rows}

    async def states(self, streams: Collection[StreamId]) -> dict[StreamId, State]:
        """Return the newest states of those of the streams that have one."""
        async with self._pool.acquire() as connection:
            return await load_streams(connection, streams)


def _reacting(row: asyncpg.Record) -> Reacting:
    return Reacting(
        Position(row["partition"], row["offset"]),
        StreamId(row["stream"]),
        row["event_id"],
        row["version"],
        row["actor"],
        row["correlation_id"],
        row["causation_id"],
        state_from_row(row) or NULL,
        row["former"],
    )


def _successor(row: asyncpg.Record) -> Successor:
    return Successor(
        task_from_row(row),
        touched=row["touched"],
        event_ids=frozenset(row["event_ids"] or ()),
        newest_cause=row["newest_cause"],
    )
