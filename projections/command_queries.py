"""What deciding a command asks of the read models: states, and what became of an event id."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from app.fold import State
from app.lists import Occupied
from app.positions import Position
from app.records import stream_kind
from app.surroundings import CommentThen
from app.updates import state_from_json
from projections.states import load_states

_STATE_AT = """
    SELECT state FROM audit WHERE stream = $1 AND version = $2 AND outcome = 'accepted' AND state IS NOT NULL
"""
_ACTOR_AT = "SELECT actor FROM audit WHERE stream = $1 AND version = $2 AND outcome = 'accepted'"
_OPEN_CHILDREN = "SELECT count(*) FROM tasks WHERE parent_id = $1 AND status = 'open' AND deleted_at IS NULL"
OCCUPIED = """
    SELECT stage, status, count(*) AS tasks FROM tasks
    WHERE list_id = $1 AND stage IS NOT NULL AND deleted_at IS NULL GROUP BY stage, status
"""
_COMMENT = "SELECT author, text FROM comments WHERE task_id = $1 AND id = $2 AND deleted_at IS NULL"
_COMMENTERS = "SELECT DISTINCT author FROM comments WHERE task_id = $1 AND deleted_at IS NULL"
_ACCEPTED = """
    SELECT partition, "offset", stream, version, command_hash, state
    FROM audit WHERE event_id = $1 AND outcome = 'accepted' ORDER BY partition, "offset" LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class AcceptedEvent:
    """An event that the fold accepted: where, from which command, and the state after it as JSON."""

    position: Position
    stream: str
    version: int
    command_hash: str | None
    state: str


class CommandQueries:
    """The queries, on a pool that sees the live generation."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def state(self, stream: str) -> State | None:
        """The newest state of a stream."""
        kind, _, key = stream.partition(":")
        async with self._pool.acquire() as connection:
            return (await load_states(connection, kind, [key])).get(key)

    async def state_at(self, stream: str, version: int) -> State | None:
        """The state of a stream after its first `version` events."""
        found = await self._pool.fetchval(_STATE_AT, stream, version)
        return None if found is None else state_from_json(stream_kind(stream), found)

    async def actor_at(self, stream: str, version: int) -> str | None:
        """Who did the event that made a stream's `version`."""
        actor: str | None = await self._pool.fetchval(_ACTOR_AT, stream, version)
        return actor

    async def open_children(self, task_id: str) -> int:
        """How many sub-tasks of a task are neither done nor deleted."""
        return int(await self._pool.fetchval(_OPEN_CHILDREN, task_id))

    async def occupied(self, list_id: str) -> Occupied:
        """Which stages of a list its tasks are in."""
        rows = await self._pool.fetch(OCCUPIED, list_id)
        return {(row["stage"], row["status"]): row["tasks"] for row in rows}

    async def comment(self, task_id: str, comment_id: str) -> CommentThen | None:
        """A comment that is not deleted."""
        row = await self._pool.fetchrow(_COMMENT, task_id, comment_id)
        return None if row is None else CommentThen(row["author"], row["text"])

    async def commenters(self, task_id: str) -> frozenset[str]:
        """Who has commented on a task."""
        rows = await self._pool.fetch(_COMMENTERS, task_id)
        return frozenset(row["author"] for row in rows)

    async def accepted(self, event_id: str) -> AcceptedEvent | None:
        """The accepted event of this id, if there is one."""
        row = await self._pool.fetchrow(_ACCEPTED, event_id)
        if row is None:
            return None
        return AcceptedEvent(
            position=Position(row["partition"], row["offset"]),
            stream=row["stream"],
            version=row["version"],
            command_hash=row["command_hash"],
            state=row["state"] or "null",
        )
