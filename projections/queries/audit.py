"""Queries of the audit: single events, histories, and the ids of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from app.audit.access import Reader
from app.log.event_json import RecordedEvent
from app.positions import Position
from projections.postgres.id_columns import text_of, uuid_of
from projections.postgres.snapshots import positions_at
from projections.postgres.stream_ids import is_one_of, is_stream
from projections.queries.descriptions import Described, described
from projections.read_models.audit_rows import EVENT_COLUMNS, UPDATE_COLUMNS, event_and_shown

_AT = f'SELECT {UPDATE_COLUMNS} FROM audit WHERE partition = $1 AND "offset" = $2'  # noqa: S608
_LAST_COPY = f"""
    SELECT {UPDATE_COLUMNS} FROM audit
    WHERE event_id = $1 AND stream = $2 AND partition = $3 AND "offset" > $4
    ORDER BY array_position(ARRAY['accepted', 'superseded', 'parked'], outcome), "offset" DESC LIMIT 1
"""  # noqa: S608
HISTORY = f"""
    SELECT {EVENT_COLUMNS} FROM audit
    WHERE {is_stream("$1")} AND outcome = 'accepted' AND version > greatest($2, 0) ORDER BY version LIMIT $3
"""  # noqa: S608
_HISTORY_OF_ALL = f"""
    SELECT {EVENT_COLUMNS} FROM audit
    WHERE {is_stream("$1")} AND "offset" > $2 ORDER BY "offset" LIMIT $3
"""  # noqa: S608
_EVENT_IDS = f"""
    SELECT stream, array_agg({text_of("event_id")} ORDER BY version) AS event_ids FROM audit
    WHERE {is_one_of("$1")} AND outcome = 'accepted' AND version > 0 GROUP BY stream
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class AuditedEvent:
    """An event, and the JSON of the state after it: `null` if there is none, or it is deleted."""

    event: RecordedEvent
    state: bytes


class AuditQueries:
    """The queries, on a pool of the live generation. The caller checks permissions."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def at(self, position: Position) -> AuditedEvent | None:
        """Return the event at a position."""
        return _audited(await self._pool.fetchrow(_AT, position.partition, position.offset))

    async def last_copy(self, event: RecordedEvent) -> AuditedEvent | None:
        """Return the copy that settled a parked event, or else the last copy that did not."""
        return _audited(
            await self._pool.fetchrow(_LAST_COPY, uuid_of(event.id), event.stream, *event.position)
        )

    async def history(
        self, stream: str, reader: Reader, *, after: int, limit: int, with_superseded: bool
    ) -> list[Described]:
        """Return a stream's events: the accepted ones after a version, or all records after an offset.

        `after` is that version or offset. Control records have no version, so only the latter include them.
        """
        statement = _HISTORY_OF_ALL if with_superseded else HISTORY
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(statement, stream, after, limit)
            return await described(connection, rows, reader)

    async def event_ids(self, streams: Sequence[str]) -> dict[str, list[str]]:
        """Return the ids of the accepted events of each of these streams that has some, in order."""
        rows = await self._pool.fetch(_EVENT_IDS, streams)
        return {row["stream"]: row["event_ids"] for row in rows}

    async def positions(self) -> dict[int, int]:
        """Return the positions that the read models have reached."""
        return await positions_at(self._pool)


def _audited(row: asyncpg.Record | None) -> AuditedEvent | None:
    return None if row is None else AuditedEvent(*event_and_shown(row))
