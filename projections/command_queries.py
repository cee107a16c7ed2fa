"""What deciding a command asks of the read models: states, and what became of an event id."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from app.fold import State
from app.positions import Position
from app.records import stream_kind
from app.updates import list_from_json, task_from_json
from projections import lists, tasks

_STATE_AT = """
    SELECT state FROM audit WHERE stream = $1 AND version = $2 AND outcome = 'accepted' AND state IS NOT NULL
"""
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
            if kind == "task":
                return (await tasks.load(connection, [key])).get(key)
            return (await lists.load(connection, [key])).get(key)

    async def state_at(self, stream: str, version: int) -> State | None:
        """The state of a stream after its first `version` events."""
        found = await self._pool.fetchval(_STATE_AT, stream, version)
        if found is None:
            return None
        return task_from_json(found) if stream_kind(stream) == "task" else list_from_json(found)

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
