"""Queries for deciding a command: states, and the outcomes of event ids."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import asyncpg

from app.errors import Unavailable
from app.lists.commands import Occupied
from app.log.event_json import NULL
from app.log.fold import State
from app.log.updates import state_from_json
from app.positions import Position
from app.stream_ids import StreamId, task_stream
from app.tasks.decision_context import Change, Gap, PastEvent, PriorComment, SubTask
from app.tasks.state import Task
from app.tasks.undo import LOOK_BACK, newest_change
from projections.postgres.batch_loader import BatchLoader
from projections.postgres.connections import Source
from projections.postgres.id_columns import text_of, uuid_of, uuids_of
from projections.postgres.snapshots import positions_at, snapshot
from projections.postgres.stream_ids import is_stream
from projections.queries import sub_tasks
from projections.queries.stream_states import load_newest, load_newest_of, load_states
from projections.queries.sub_tasks import Lines
from projections.read_models.audit_rows import COMMAND_HASH, state_columns, state_from_row

_STATES_AT = f"""
    SELECT version, stream, {state_columns()} FROM audit
    WHERE {is_stream("$1")} AND version = ANY($2::bigint[]) AND outcome = 'accepted' AND state IS NOT NULL
"""  # noqa: S608
RECENT = f"""
    SELECT version, type, actor, {text_of("event_id")} AS event_id, source = '/tasktape/api' AS asked,
        CASE type WHEN 'task.undone' THEN (data ->> 'version')::bigint END AS undid
    FROM audit
    WHERE {is_stream("$1")} AND outcome = 'accepted' AND version BETWEEN 1 AND $2
    ORDER BY version DESC LIMIT $3
"""  # noqa: S608
NEIGHBOUR = """
    WITH found AS MATERIALIZED (SELECT id, list_id, rank FROM tasks WHERE id = ANY(ARRAY[$3, $4])),
    neighbour AS (
        SELECT rank, id = $4 AS behind FROM found
        WHERE list_id = $1 ORDER BY behind DESC NULLS LAST LIMIT 1
    )
    SELECT
        CASE WHEN behind THEN rank ELSE (
            SELECT rank FROM tasks WHERE list_id = $1 AND rank < neighbour.rank AND id <> $2
            ORDER BY rank DESC LIMIT 1
        ) END AS low,
        CASE WHEN behind THEN (
            SELECT rank FROM tasks WHERE list_id = $1 AND rank > neighbour.rank AND id <> $2
            ORDER BY rank LIMIT 1
        ) ELSE rank END AS high
    FROM neighbour
"""
LAST = "SELECT rank FROM tasks WHERE list_id = $1 AND id <> $2 ORDER BY rank DESC LIMIT 1"
OCCUPIED = """
    SELECT stage, status, count(*) AS tasks FROM tasks
    WHERE list_id = $1 AND stage IS NOT NULL AND deleted_at IS NULL GROUP BY stage, status
"""
_COMMENT = "SELECT author, text FROM comments WHERE task_id = $1 AND id = $2 AND deleted_at IS NULL"
_COMMENTERS = "SELECT DISTINCT author FROM comments WHERE task_id = $1 AND deleted_at IS NULL"
_ACCEPTED = f"""
    SELECT partition, "offset", stream, version, {COMMAND_HASH} AS command_hash, {state_columns()}
    FROM audit WHERE event_id = $1 AND outcome = 'accepted' ORDER BY partition, "offset" LIMIT 1
"""  # noqa: S608
_ACCEPTED_AMONG = f"""
    SELECT {text_of("event_id")} AS event_id FROM audit
    WHERE event_id = ANY($1::uuid[]) AND outcome = 'accepted'
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class AcceptedEvent:
    """An accepted event: its position, its command, and the state after it as JSON."""

    position: Position
    stream: StreamId
    version: int
    command_hash: str | None
    state: bytes


class CommandRows:
    """The queries, on any source."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def state(self, stream: StreamId) -> State | None:
        """Return the newest state of a stream."""
        return (await load_states(self._source, stream.kind, [stream.key])).get(stream.key)

    async def newest(self, stream: StreamId) -> tuple[State | None, str | None]:
        """Return the newest state of a stream, and the position of the record that holds it, if one does."""
        return await load_newest(self._source, stream)

    async def state_at(self, stream: StreamId, version: int) -> State | None:
        """Return the state of a stream after its first `version` events."""
        return (await self._states_at(stream, version)).get(version)

    async def sub_tasks(self, task_id: str) -> Sequence[SubTask]:
        """Return the tasks below a task, on all levels, that are not deleted, the deepest first."""
        return await sub_tasks.below(self._source, task_id)

    async def lines(self, task_ids: Collection[str]) -> Lines:
        """Return these tasks and all their ancestors, deleted ones included."""
        return await sub_tasks.lines(self._source, task_ids)

    async def tops(self, task_ids: Collection[str]) -> Mapping[str, str]:
        """Return the top-level ancestor of each task, or the task itself; omit tasks that do not exist."""
        return await sub_tasks.tops(self._source, task_ids)

    async def gap(self, list_id: str, task_id: str, *, before: str | None, after: str | None) -> Gap | None:
        """Return the place in a list directly after a task, else directly before one, else at its end.

        `after` counts unless it is not in the list; return None if neither is. The task `task_id` is ignored.
        Deleted tasks keep their places.
        """
        if before is None and after is None:
            return Gap(await self._source.fetchval(LAST, list_id, task_id), None)
        row = await self._source.fetchrow(NEIGHBOUR, list_id, task_id, before, after)
        return None if row is None else Gap(row["low"], row["high"])

    async def change(self, task: Task, version: int | None, user: str) -> Change | None:
        """Return the change by event `version`, or by the user's newest event that can be undone, if any.

        Only events up to the state `task` count. Raise `Unavailable` while they are not visible yet.
        """
        stream = task_stream(task.id)
        upto, limit = (task.version, LOOK_BACK) if version is None else (version, 1)
        if upto > task.version:
            return None
        rows = await self._source.fetch(RECENT, stream, upto, limit)
        if not rows or rows[0]["version"] != upto:
            raise Unavailable("the last change of this task is written, but not visible yet")
        past = [
            # Events that a policy or an import made for a user are not offered to undo.
            PastEvent(row["version"], row["type"], row["actor"] if row["asked"] else "", row["undid"])
            for row in rows
        ]
        wanted = newest_change(past, user) if version is None else version
        event = next((row for row in rows if row["version"] == wanted), None)
        if event is None:
            return None
        states = await self._states_at(stream, event["version"] - 1, event["version"])
        before, after = states.get(event["version"] - 1), states.get(event["version"])
        if not isinstance(after, Task):
            return None
        along = await sub_tasks.along(self._source, task.id, event["event_id"])
        return Change(event["actor"], before if isinstance(before, Task) else None, after, along)

    async def _states_at(self, stream: StreamId, *versions: int) -> Mapping[int, State]:
        rows = await self._source.fetch(_STATES_AT, stream, versions)
        return {row["version"]: state_from_json(stream.kind, state_from_row(row) or NULL) for row in rows}

    async def occupied(self, list_id: str) -> Occupied:
        """Return the stages of a list that contain tasks."""
        rows = await self._source.fetch(OCCUPIED, list_id)
        return {(row["stage"], row["status"]): row["tasks"] for row in rows}

    async def comment(self, task_id: str, comment_id: str) -> PriorComment | None:
        """Return a comment that is not deleted."""
        row = await self._source.fetchrow(_COMMENT, task_id, comment_id)
        return None if row is None else PriorComment(row["author"], row["text"])

    async def commenters(self, task_id: str) -> frozenset[str]:
        """Return the users who have commented on a task."""
        rows = await self._source.fetch(_COMMENTERS, task_id)
        return frozenset(row["author"] for row in rows)

    async def accepted(self, event_id: str) -> AcceptedEvent | None:
        """Return the accepted event of this id, if it exists."""
        row = await self._source.fetchrow(_ACCEPTED, uuid_of(event_id))
        if row is None:
            return None
        return AcceptedEvent(
            position=Position(row["partition"], row["offset"]),
            stream=StreamId(row["stream"]),
            version=row["version"],
            command_hash=row["command_hash"],
            state=state_from_row(row) or NULL,
        )

    async def accepted_among(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Return those of these event ids that were accepted."""
        rows = await self._source.fetch(_ACCEPTED_AMONG, uuids_of(event_ids))
        return frozenset(row["event_id"] for row in rows)


class CommandQueries(CommandRows):
    """The queries, on a pool of the live generation."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        super().__init__(pool)
        self._pool = pool
        self._newest = BatchLoader(partial(load_newest_of, pool))

    async def state(self, stream: StreamId) -> State | None:
        """See `CommandRows.state`. Concurrent calls share a query."""
        return (await self.newest(stream))[0]

    async def newest(self, stream: StreamId) -> tuple[State | None, str | None]:
        """See `CommandRows.newest`. Concurrent calls share a query."""
        return await self._newest.load(stream) or (None, None)

    async def positions(self) -> dict[int, int]:
        """Return the positions that the read models have reached."""
        return await positions_at(self._pool)

    @asynccontextmanager
    async def moment(self) -> AsyncIterator[tuple[CommandRows, dict[int, int]]]:
        """Provide the same queries on one snapshot, with the snapshot's positions."""
        async with snapshot(self._pool) as connection:
            yield CommandRows(connection), await positions_at(connection)
