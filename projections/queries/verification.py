"""Queries of a verification: the rows of the audit and the hashes of the trees, in the order of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from projections.postgres.database import Database
from projections.postgres.id_columns import text_of
from projections.read_models import audit
from projections.read_models.audit_rows import COMMAND_HASH

_ROWS = f"""
    SELECT "offset", outcome, reason, stream, recorded_at, {text_of("event_id")}, type, version, time, actor,
        source, {text_of("correlation_id")}, {text_of("causation_id")}, {COMMAND_HASH}, data
    FROM audit WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3 ORDER BY "offset"
"""  # noqa: S608
_TILES = """
    SELECT number, hashes FROM tree_tiles
    WHERE partition = $1 AND level = $2 AND number >= $3 AND number < $4 ORDER BY number
"""
_BEYOND = """
    SELECT audit.partition, min(audit."offset") AS first FROM audit
    LEFT JOIN checkpoints ON checkpoints.partition = audit.partition
    WHERE audit."offset" >= coalesce(checkpoints.next_offset, 0) GROUP BY audit.partition
"""


class KeptRow(NamedTuple):
    """A row of the audit, as far as its record determines it; `data` is JSON."""

    offset: int
    outcome: str
    reason: str | None
    stream: str | None
    recorded_at: datetime
    event_id: str | None
    type: str | None
    version: int | None
    time: datetime | None
    actor: str | None
    source: str | None
    correlation_id: str | None
    causation_id: str | None
    command_hash: str | None
    data: str | None


class VerificationQueries:
    """The queries, on the live generation."""

    def __init__(self, database: Database) -> None:
        self._pool = database.pool

    async def rows(self, partition: int, first: int, end: int) -> Sequence[KeptRow]:
        """Return the rows of the offsets `[first, end)` of a partition."""
        return list(map(KeptRow._make, await self._pool.fetch(_ROWS, partition, first, end)))

    async def tiles(self, partition: int, level: int, first: int, end: int) -> Mapping[int, bytes]:
        """Return the hashes in the tiles `[first, end)` of a level, by the numbers of the tiles."""
        rows = await self._pool.fetch(_TILES, partition, level, first, end)
        return {row["number"]: row["hashes"] for row in rows}

    async def beyond(self) -> Mapping[int, int]:
        """Return for each partition the first offset of a row that was not projected, if there is one."""
        return {row["partition"]: row["first"] for row in await self._pool.fetch(_BEYOND)}

    async def accepted(self, event_ids: Sequence[str]) -> set[tuple[str, str]]:
        """Return those of these event ids that were accepted, as (stream, event id)."""
        async with self._pool.acquire() as connection:
            return await audit.accepted_ids(connection, event_ids)
