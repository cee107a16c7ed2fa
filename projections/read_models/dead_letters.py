"""The read model of dead letters: the parked records, and which of them holds its stream.

A retry is a copy of the parked record, appended again with the position of the original in `ce_retryof`. A
skip is a `stream.resumed` record. Both therefore reach this table through the log, like everything else. They
are in the partition of the record that they settle: in another partition, their order would be undefined.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text

from app.errors import Malformed
from app.log.fold import Folded
from app.log.records import RawRecord, Record, StreamResumed
from app.positions import MAX_PARTITIONS, Position
from app.stream_ids import StreamId
from projections.postgres.connections import Connection
from projections.postgres.tables import read_models, time_column
from projections.read_models.projected import ProjectedBatch

dead_letters = Table(
    "dead_letters",
    read_models,
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("stream", Text),
    Column("holds", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    time_column("parked_at"),
    time_column("attempted_at"),
    Column("key", LargeBinary),
    Index("dead_letters_by_stream", "stream"),
)
"""The parked records; `holds` marks the one that its stream waits for."""

TABLES = (dead_letters,)
VERSION = 1

HELD_BY = """(
    SELECT partition || ':' || "offset" FROM dead_letters WHERE stream = {stream} AND holds LIMIT 1
) AS held_by"""
"""A column: the position of the record that holds a stream, if one does."""
_HOLDS = 'SELECT stream, partition, "offset" FROM dead_letters WHERE holds'
_PARK = """
    INSERT INTO dead_letters
        (partition, "offset", stream, holds, reason, attempts, parked_at, attempted_at, key)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_TAKE = """
    DELETE FROM dead_letters WHERE partition = $1 AND "offset" = $2 AND stream IS NOT DISTINCT FROM $3
    RETURNING attempts, parked_at
"""
_TRIED = """
    UPDATE dead_letters SET attempts = attempts + 1, attempted_at = $3, reason = $4
    WHERE partition = $1 AND "offset" = $2 AND stream IS NOT DISTINCT FROM $5
"""
# Letters of the same stream, or one without a stream: nobody settles those of another stream.
_DELETE = """
    DELETE FROM dead_letters WHERE partition = $1 AND "offset" = $2 AND (stream = $3 OR stream IS NULL)
"""


async def load_holds(connection: Connection) -> dict[str, str]:
    """Return the streams on hold, with the position of the record that holds each."""
    rows = await connection.fetch(_HOLDS)
    return {row["stream"]: f"{row['partition']}:{row['offset']}" for row in rows if row["stream"]}


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the parked and retried records of the batch, and delete the settled ones."""
    for projected in batch.records:
        folded, record = projected.folded, projected.folded.record
        if folded.outcome == "parked":
            await _park(connection, folded, batch.held)
        elif record is not None and (record.retry_of is not None or record.version == 0):
            for settled in _settled(record, folded.raw.position.partition):
                await connection.execute(_DELETE, *settled, record.stream)


async def _park(connection: Connection, folded: Folded, held: Mapping[str, str]) -> None:
    raw, reason = folded.raw, folded.reason or ""
    stream = folded.record.stream if folded.record else raw.stream
    holding = stream is not None and held.get(stream) == str(raw.position)
    origin = retry_of(raw)
    attempts, parked_at = 1, raw.recorded_at
    if origin is not None and origin.partition == raw.position.partition:
        if not holding:
            tried = await connection.execute(_TRIED, *origin, raw.recorded_at, reason, stream)
            if tried != "UPDATE 0":
                return
        # The stream now waits for the copy, which therefore replaces the original.
        elif (first := await connection.fetchrow(_TAKE, *origin, stream)) is not None:
            attempts, parked_at = first["attempts"] + 1, first["parked_at"]
    place = (*raw.position, stream, holding, reason)
    await connection.execute(_PARK, *place, attempts, parked_at, raw.recorded_at, raw.key)


def _settled(record: Record, partition: int) -> Iterable[Position]:
    texts = record.data.skipped if isinstance(record.data, StreamResumed) else (record.retry_of or "",)
    return [each for each in _positions(texts) if each.partition == partition]


def retry_of(raw: RawRecord) -> Position | None:
    """Return the position of the record that `raw` is a copy of, if any; also for a poison record."""
    for name, value in raw.headers:
        if name == "ce_retryof" and value is not None:
            return next(iter(_positions((value.decode(errors="replace"),))), None)
    return None


def _positions(texts: Iterable[str]) -> list[Position]:
    positions = []
    for text in texts:
        try:
            position = Position.parse(text)
        except Malformed:
            continue
        if position.partition < MAX_PARTITIONS:
            positions.append(position)
    return positions


_COLUMNS = 'partition, "offset", stream, holds, reason, attempts, parked_at, attempted_at, key'
_PAGE = f"""
    SELECT {_COLUMNS} FROM dead_letters WHERE (partition, "offset") > ($1, $2)
    ORDER BY partition, "offset" LIMIT $3
"""  # noqa: S608
_ONE = f'SELECT {_COLUMNS} FROM dead_letters WHERE partition = $1 AND "offset" = $2'  # noqa: S608
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


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A parked record; `holds` if its stream waits for it, and `key` is that of the log."""

    position: Position
    stream: StreamId | None
    holds: bool
    reason: str
    attempts: int
    parked_at: datetime
    attempted_at: datetime
    key: bytes | None


@dataclass(frozen=True, slots=True)
class Parked:
    """The number of parked records, the number that hold a stream, and the age of the oldest one."""

    records: int
    holders: int
    oldest_age_s: float


class DeadLetterQueries:
    """The queries, on a pool of the live generation. The caller checks permissions."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def page(self, *, after: Position, limit: int) -> list[ParkedRecord]:
        """Return parked records in the log's order."""
        return [_parked_record(row) for row in await self._pool.fetch(_PAGE, *after, limit)]

    async def one(self, position: Position) -> ParkedRecord | None:
        """Return one parked record."""
        row = await self._pool.fetchrow(_ONE, *position)
        return None if row is None else _parked_record(row)

    async def parked(self) -> Parked:
        """Return the number of parked records."""
        row = await self._pool.fetchrow(_PARKED)
        assert row is not None
        return Parked(row["records"], row["holders"], max(0.0, row["oldest_age_s"]))

    async def holder(self, stream: str) -> Position | None:
        """Return the record that a stream waits for, if it is on hold."""
        row = await self._pool.fetchrow(_HOLDER, stream)
        return None if row is None else Position(*row.values())

    async def parked_behind(self, stream: str, position: Position, limit: int) -> list[Position]:
        """Return the records of a stream that are parked behind the one at `position`."""
        rows = await self._pool.fetch(_BEHIND, stream, *position, limit)
        return [Position(*row.values()) for row in rows]


def _parked_record(row: asyncpg.Record) -> ParkedRecord:
    partition, offset, stream, *rest = row.values()
    return ParkedRecord(Position(partition, offset), None if stream is None else StreamId(stream), *rest)
