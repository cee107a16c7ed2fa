"""Queries of the audit and the dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from app.positions import Position
from projections.postgres.connections import Connection
from projections.postgres.snapshots import positions_at
from projections.read_models.audit import UPDATE_COLUMNS

_AT = f'SELECT {UPDATE_COLUMNS} FROM audit WHERE partition = $1 AND "offset" = $2'  # noqa: S608
_LAST_COPY = f"""
    SELECT {UPDATE_COLUMNS} FROM audit
    WHERE event_id = $1 AND stream = $2 AND partition = $3 AND "offset" > $4
    ORDER BY array_position(ARRAY['accepted', 'superseded', 'parked'], outcome), "offset" DESC LIMIT 1
"""  # noqa: S608
_LETTER_COLUMNS = 'partition, "offset", stream, holds, reason, attempts, parked_at, attempted_at, key'
_LETTERS = f"""
    SELECT {_LETTER_COLUMNS} FROM dead_letters WHERE (partition, "offset") > ($1, $2)
    ORDER BY partition, "offset" LIMIT $3
"""  # noqa: S608
_LETTER = f'SELECT {_LETTER_COLUMNS} FROM dead_letters WHERE partition = $1 AND "offset" = $2'  # noqa: S608
_HOLDER = 'SELECT partition, "offset" FROM dead_letters WHERE stream = $1 AND holds'
_PARKED = """
    SELECT count(*) AS records, count(*) FILTER (WHERE holds) AS holders,
        coalesce(extract(epoch FROM clock_timestamp() - min(parked_at)), 0)::float AS oldest_age_s
    FROM dead_letters
"""
_BEHIND = """
    SELECT partition, "offset" FROM dead_letters
    WHERE stream = $1 AND NOT holds AND partition = $2 AND "offset" > $3 ORDER BY "offset" LIMIT $4
"""


_EVENT_IDS = """
    SELECT stream, array_agg(event_id ORDER BY version) AS event_ids FROM audit
    WHERE stream = ANY($1::text[]) AND outcome = 'accepted' AND version > 0 GROUP BY stream
"""


@dataclass(frozen=True, slots=True)
class Parked:
    """The number of parked records, the number that hold a stream, and the age of the oldest one."""

    records: int
    holders: int
    oldest_age_s: float


class AuditQueries:
    """The queries, on a pool of the live generation. The caller checks permissions."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def at(self, position: Position) -> asyncpg.Record | None:
        """Return the row of one record, with the columns for events (`projections.read_models.audit`)."""
        return await self._pool.fetchrow(_AT, position.partition, position.offset)

    async def last_copy(self, row: asyncpg.Record) -> asyncpg.Record | None:
        """Return the row of the copy that settled a parked record, or else of the last copy that did not."""
        return await self._pool.fetchrow(
            _LAST_COPY, row["event_id"], row["stream"], row["partition"], row["offset"]
        )

    async def history(
        self, stream: str, *, after: int, limit: int, with_superseded: bool
    ) -> Sequence[asyncpg.Record]:
        """Return a stream's events in order; `after` is a version, or with superseded ones an offset."""
        async with self._pool.acquire() as connection:
            return await history(
                connection, stream, after=after, limit=limit, with_superseded=with_superseded
            )

    async def event_ids(self, streams: Sequence[str]) -> dict[str, list[str]]:
        """Return the ids of the accepted events of each of these streams that has some, in order."""
        rows = await self._pool.fetch(_EVENT_IDS, streams)
        return {row["stream"]: row["event_ids"] for row in rows}

    async def positions(self) -> dict[int, int]:
        """Return the positions that the read models have reached."""
        return await positions_at(self._pool)

    async def dead_letters(self, *, after: Position, limit: int) -> Sequence[asyncpg.Record]:
        """Return parked records in the log's order."""
        return await self._pool.fetch(_LETTERS, after.partition, after.offset, limit)

    async def parked(self) -> Parked:
        """Return the number of parked records."""
        row = await self._pool.fetchrow(_PARKED)
        assert row is not None
        return Parked(row["records"], row["holders"], max(0.0, row["oldest_age_s"]))

    async def dead_letter(self, position: Position) -> asyncpg.Record | None:
        """Return one parked record."""
        return await self._pool.fetchrow(_LETTER, position.partition, position.offset)

    async def holder(self, stream: str) -> Position | None:
        """Return the record that a stream waits for, if it is on hold."""
        row = await self._pool.fetchrow(_HOLDER, stream)
        return None if row is None else Position(row["partition"], row["offset"])

    async def parked_behind(self, stream: str, position: Position, limit: int) -> list[Position]:
        """Return the records of a stream that are parked behind the one at `position`."""
        rows = await self._pool.fetch(_BEHIND, stream, *position, limit)
        return [Position(row["partition"], row["offset"]) for row in rows]


HISTORY = f"""
    SELECT {UPDATE_COLUMNS} FROM audit
    WHERE stream = $1 AND outcome = 'accepted' AND version > greatest($2, 0) ORDER BY version LIMIT $3
"""  # noqa: S608
_HISTORY_OF_ALL = f"""
    SELECT {UPDATE_COLUMNS} FROM audit
    WHERE stream = $1 AND "offset" > $2 ORDER BY "offset" LIMIT $3
"""  # noqa: S608


async def history(
    connection: Connection, stream: str, *, after: int, limit: int, with_superseded: bool
) -> list[asyncpg.Record]:
    """Return a stream's events: the accepted ones after a version, or all records after an offset.

    `after` is that version or offset. Control records have no version, so only the latter include them.
    """
    return await connection.fetch(_HISTORY_OF_ALL if with_superseded else HISTORY, stream, after, limit)
