"""Records as stored in the audit: sufficient to write each to the log again, if the log loses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from app.log.event_json import record_of
from app.log.records import Record
from app.stream_ids import StreamId
from projections.postgres.database import Database
from projections.postgres.id_columns import text_of
from projections.read_models.audit_rows import COMMAND_HASH, EVENT_COLUMNS, event_from_row

_ROWS = f"""
    SELECT {EVENT_COLUMNS}, {COMMAND_HASH} AS command_hash FROM audit
    WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3 ORDER BY "offset" LIMIT $4
"""  # noqa: S608
_IDS = f"""
    SELECT "offset", {text_of("event_id")} AS event_id, recorded_at FROM audit
    WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3 ORDER BY "offset"
"""  # noqa: S608
_ENDS = "SELECT partition, next_offset FROM checkpoints ORDER BY partition"


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record as stored in the audit; `record` is None if the record could never be decoded."""

    offset: int
    stream: StreamId | None
    recorded_at: datetime
    record: Record | None


async def known_ends(database: Database) -> dict[int, int]:
    """Return, for each partition, the end offset of the log in the read models."""
    return {row["partition"]: row["next_offset"] for row in await database.pool.fetch(_ENDS)}


async def event_ids(
    database: Database, partition: int, first: int, end: int
) -> dict[int, tuple[str | None, datetime]]:
    """Return the event id, None if the record could not be decoded, and the recorded time at each offset."""
    rows = await database.pool.fetch(_IDS, partition, first, end)
    return {row["offset"]: (row["event_id"], row["recorded_at"]) for row in rows}


async def kept_records(
    database: Database, partition: int, first: int, end: int, limit: int
) -> Sequence[KeptRecord]:
    """Return the records of the offsets `[first, end)` of a partition, at most `limit`, in order."""
    rows = await database.pool.fetch(_ROWS, partition, first, end, limit)
    return [_kept_record(row) for row in rows]


def _kept_record(row: asyncpg.Record) -> KeptRecord:
    event = event_from_row(row)
    return KeptRecord(
        event.position.offset, event.stream, event.recorded_at, record_of(event, row["command_hash"])
    )
