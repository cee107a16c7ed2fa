"""Events of the audit for exports: all that a selection has, page by page, each page one short statement.

No cursor or transaction stays open between pages, so a slow reader holds nothing. The rows of the audit never
change, so the pages up to some positions are the same whenever they are read, also in another generation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from app.audit.access import Reader
from app.audit.query import AuditQuery
from app.errors import Unavailable
from app.log.event_json import RecordedEvent
from app.positions import Positions
from projections.audit_search.conditions import AuditFilter
from projections.postgres.database import DATABASE_UNAVAILABLE, Database
from projections.postgres.snapshots import positions_at
from projections.postgres.sql_parameters import Parameters
from projections.postgres.stream_ids import is_stream
from projections.queries.audit_events import seen
from projections.read_models.audit import place_of
from projections.read_models.audit_rows import (
    EVENT_COLUMNS,
    columns_from_rows,
    event_columns,
    event_from_row,
)

READERS = 2
"""The most connections of the pool that all exports of a node use at the same time."""
PAGE_BYTES = 512 * 1024
"""A page ends after the event with which it reaches this size."""
PAGE_OFFSETS = 500
MOST_OFFSETS = 64_000
"""Offsets that a statement looks at: at first `PAGE_OFFSETS`, then more while few of them are selected."""


class Span(NamedTuple):
    """The offsets `(after, last]` of a partition."""

    partition: int
    after: int
    last: int


def spans_of(after: Positions, until: Positions) -> list[Span]:
    """Return the records after some positions, up to others."""
    spans = (Span(partition, after.get(partition, -1), last) for partition, last in sorted(until.items()))
    return [span for span in spans if span.after < span.last]


@dataclass(frozen=True, slots=True)
class EventRows:
    """A page, as rows. To make events of them takes most of the time, which a thread may do."""

    _rows: Sequence[asyncpg.Record]

    def __len__(self) -> int:
        return len(self._rows)

    def first(self, count: int) -> EventRows:
        """Return the page without its events after the first ones."""
        return EventRows(self._rows[:count])

    def columns(self) -> list[Sequence[Any]]:
        """Return the values of the events, by column: see `columns_from_rows`."""
        return columns_from_rows(self._rows)

    def events(self) -> Iterator[tuple[RecordedEvent, str | None]]:
        """Yield each event, with the id of its list: that of the task after it, or the list itself."""
        for row in self._rows:
            yield event_from_row(row), row["list_id"]


_SIZE = """(coalesce(audit.state_bytes, 0) + coalesce(pg_column_size(audit.data), 0)
    + coalesce(pg_column_size(audit.former), 0))"""
_OFFSETS = 'audit.partition = {partition} AND audit."offset" > {first} AND audit."offset" <= {last}'
_BY_POSITION = f"""
    SELECT * FROM (
        SELECT {EVENT_COLUMNS}, {_SIZE} AS size, count(*) OVER () AS found,
            sum({_SIZE}) OVER (ORDER BY audit."offset") AS total
        FROM audit WHERE {_OFFSETS} AND ({{condition}})
    ) page WHERE total - size < {{bytes}} ORDER BY "offset"
"""  # noqa: S608
_IS_VERSION = "audit.outcome = 'accepted' AND audit.version > 0"
_SAME_STREAM = f"{is_stream('begun.of', 'audit.stream')} AND {_IS_VERSION}"
_BY_STREAM = f"""
    WITH begun AS (
        SELECT stream AS of, version AS since, "offset" AS began FROM audit
        WHERE {_OFFSETS} AND {_IS_VERSION} AND ({{condition}})
    )
    SELECT * FROM (
        SELECT {event_columns("audit")}, {_SIZE} AS size, began, count(*) OVER () AS found,
            sum({_SIZE}) OVER (ORDER BY began, version) AS total
        FROM begun JOIN audit ON {_SAME_STREAM} AND audit.version >= since
            AND audit."offset" <= {{end}} AND ({{condition}})
        WHERE (began, audit.version) > ({{began}}, {{version}}) AND NOT EXISTS (
            SELECT FROM audit WHERE {_SAME_STREAM} AND audit.version < since
                AND audit."offset" > {{after}} AND ({{condition}})
        )
    ) page WHERE total - size < {{bytes}} ORDER BY began, version
"""  # noqa: S608
"""The streams whose first selected event is among some offsets, each with all its selected events."""


Progress = Callable[[int], None]
"""Is called with the number of records that were looked at since the last call."""


def _ignored(_records: int) -> None:
    """Do nothing."""


class AuditExport:
    """The queries, on the live generation. What a reader sees is looked up for each page.

    Its methods raise `Unavailable`.
    """

    def __init__(self, database: Database, readers: int = READERS) -> None:
        self._database = database
        self._readers = asyncio.Semaphore(readers)

    async def reached(self) -> dict[int, int]:
        """Return the positions that the audit has reached: an export up to them never changes."""
        try:
            return await positions_at(self._database.pool)
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error

    async def by_position(
        self,
        query: AuditQuery,
        reader: Reader,
        after: Positions,
        until: Positions,
        progress: Progress = _ignored,
    ) -> AsyncGenerator[EventRows]:
        """Yield the records in the order of the log: partition by partition, each by offset."""
        for span in spans_of(after, until):
            first, width = span.after, PAGE_OFFSETS
            while first < span.last:
                last = min(first + width, span.last)
                given = {"partition": span.partition, "first": first, "last": last}
                rows = await self._fetch(_BY_POSITION, query, reader, given)
                if rows:
                    yield EventRows(rows)
                end = rows[-1]["offset"] if _ends_early(rows) else last
                progress(end - first)
                first = end
                width = _next_width(width, rows)

    async def by_stream(
        self,
        query: AuditQuery,
        reader: Reader,
        after: Positions,
        until: Positions,
        progress: Progress = _ignored,
    ) -> AsyncGenerator[EventRows]:
        """Yield the accepted events with a version, those of each stream together.

        The streams come in the order of their first selected events.
        """
        for span in spans_of(after, until):
            first, width, began, version = span.after, PAGE_OFFSETS, -1, -1
            while first < span.last:
                last = min(first + width, span.last)
                given = {"partition": span.partition, "first": first, "last": last}
                given |= {"after": span.after, "end": span.last, "began": began, "version": version}
                rows = await self._fetch(_BY_STREAM, query, reader, given)
                if rows:
                    yield EventRows(rows)
                if _ends_early(rows):
                    began, version = rows[-1]["began"], rows[-1]["version"]
                else:
                    progress(last - first)
                    first, width, began, version = last, _next_width(width, rows), -1, -1

    async def _fetch(
        self, sql: str, query: AuditQuery, reader: Reader, given: Mapping[str, int]
    ) -> list[asyncpg.Record]:
        try:
            async with self._readers, self._database.pool.acquire() as connection:
                scope, _ = await seen(connection, query, reader)
                parameters = Parameters()
                condition = _condition(AuditFilter.of(query, scope), parameters)
                places = {name: parameters.add(value, "bigint") for name, value in given.items()}
                size = parameters.add(PAGE_BYTES, "bigint")
                statement = sql.format(condition=condition, bytes=size, **places)
                return await connection.fetch(statement, *parameters.values)
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error


def _condition(chosen: AuditFilter, parameters: Parameters) -> str:
    """Return the condition that a row of `audit` is selected and seen."""
    checked = " AND ".join(chosen.checked_all(parameters))
    place = place_of("audit.partition", 'audit."offset"')
    return f"EXISTS (SELECT FROM audit_search WHERE place = {place} AND {checked})" if checked else "true"


def _ends_early(rows: Sequence[asyncpg.Record]) -> bool:
    """Return whether a statement found more than its page has."""
    return bool(rows) and len(rows) < rows[0]["found"]


def _next_width(width: int, rows: Sequence[asyncpg.Record]) -> int:
    """Return how many offsets the next statement looks at, of which about as many are selected."""
    return min(2 * width, MOST_OFFSETS) if len(rows) < PAGE_OFFSETS / 2 else PAGE_OFFSETS
