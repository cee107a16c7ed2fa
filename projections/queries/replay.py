"""The past of a list for replays: its events in order, page by page, and its state at a time.

The order is that of the times of events (`audit.AT`), then of the log. So imported history is
replayed as it happened, and the versions of each stream ascend.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from app.dates import format_time
from app.errors import Unavailable
from app.log.event_json import update_json
from app.log.updates import state_json
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.postgres.database import DATABASE_UNAVAILABLE, Database
from projections.postgres.id_columns import uuid_of
from projections.postgres.periods import Moment
from projections.read_models.audit import AT, MOST_PARTITIONS, MOST_RECORDS, PLACE, at_of, place_of
from projections.read_models.audit_rows import UPDATE_COLUMNS, event_and_shown, state_columns, state_from_row
from projections.task_search.lists_at import list_at

READERS = 2
"""The most connections of the pool that all replays of a node use at the same time."""
PAGE_EVENTS = 256
PAGE_BYTES = 512 * 1024
"""A page ends after the event or task with which it reaches this size."""
SNAPSHOT_BYTES = 96 * 1024
SNAPSHOT_EVENTS = 1_000
"""The events that are looked at for one page of a snapshot."""


class Place(NamedTuple):
    """A place in the order of a list's events."""

    at: datetime
    partition: int
    offset: int


START = Place(datetime.min.replace(tzinfo=UTC), -1, -1)


def end_of(time: datetime) -> Place:
    """Return the place after all events of a time."""
    return Place(time, MOST_PARTITIONS - 1, MOST_RECORDS - 1)


class Span(NamedTuple):
    """The times of the first and the last event of a list."""

    first: datetime
    last: datetime


_EVENTS_OF = f"""
    SELECT {AT} AS at, partition, "offset" FROM audit
    WHERE {{column}} = $1 AND ({AT}, {PLACE}) > ($2, {place_of("$3::int", "$4::bigint")}) AND {AT} <= $5
    ORDER BY {AT}, {PLACE} LIMIT $6
"""  # noqa: S608
_SIZE = "coalesce(state_bytes, 0) + coalesce(pg_column_size(data), 0) + coalesce(pg_column_size(former), 0)"
EVENTS = f"""
WITH place AS (
    ({_EVENTS_OF.format(column="list_id")}) UNION ALL ({_EVENTS_OF.format(column="left_list_id")})
    ORDER BY at, partition, "offset" LIMIT $6
), sized AS (
    SELECT found.*, place.at AS place_at, place.partition AS place_partition, place."offset" AS place_offset,
        count(*) OVER () AS places,
        sum(coalesce(found.size, 0)) OVER (ORDER BY place.at, place.partition, place."offset")
            - coalesce(found.size, 0) AS before
    FROM place LEFT JOIN LATERAL (
        SELECT {UPDATE_COLUMNS}, {_SIZE} AS size FROM audit
        WHERE partition = place.partition AND "offset" = place."offset"
          AND ($7::text[] IS NULL OR type = ANY($7))
        LIMIT 1
    ) found ON true
)
SELECT * FROM sized WHERE before < $8 ORDER BY place_at, place_partition, place_offset
"""  # noqa: S608
"""A row for each event, in order, with null for its columns if its type is not wanted."""

_LATER_VERSION = f"""
    SELECT FROM audit later
    WHERE {stream_sql.is_stream("audit.stream", "later.stream")}
      AND later.version = audit.version + 1 AND later.outcome = 'accepted' AND {at_of("later")} <= $5
"""
TASKS = f"""
WITH place AS ({_EVENTS_OF.format(column="list_id")}), sized AS (
    SELECT found.stream, found.list_id, found.state, place.at AS place_at, place.partition AS place_partition,
        place."offset" AS place_offset, count(*) OVER () AS places,
        sum(coalesce(found.size, 0)) OVER (ORDER BY place.at, place.partition, place."offset")
            - coalesce(found.size, 0) AS before
    FROM place LEFT JOIN LATERAL (
        SELECT stream, {state_columns()}, state_bytes AS size FROM audit
        WHERE partition = place.partition AND "offset" = place."offset" AND {stream_sql.IS_TASK}
          AND deleted_at IS NULL AND NOT EXISTS ({_LATER_VERSION})
        LIMIT 1
    ) found ON true
)
SELECT * FROM sized WHERE before < $7 ORDER BY place_at, place_partition, place_offset
"""  # noqa: S608
"""A row for each event of the list, with the task's state if it is the newest of a task in the list then."""

_SPAN = f"""
    SELECT min({AT}) AS first, greatest(max({AT}), (
        SELECT max({AT}) FROM audit WHERE left_list_id = $1
    )) AS last FROM audit WHERE list_id = $1
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events in order; `end` is the place after them, or None if there are no more."""

    times: Sequence[datetime]
    sizes: Sequence[int]
    """The approximate size of each event, in bytes."""
    end: Place | None
    _rows: Sequence[asyncpg.Record]

    def updates(self, prefix: bytes, first: int, end: int) -> list[bytes]:
        """Return the messages of the events `[first, end)`: a prefix, the time, and the other fields."""
        return [
            _update(b'%s"%s",' % (prefix, format_time(time).encode()), row)
            for time, row in zip(self.times[first:end], self._rows[first:end], strict=True)
        ]


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """The JSON of some tasks; `end` is the place after them, or None if there are no more."""

    tasks: Sequence[bytes]
    end: Place | None


class ListPast:
    """The queries, on the live generation. Callers check permissions. Its methods raise `Unavailable`."""

    def __init__(self, database: Database, readers: int = READERS) -> None:
        self._database = database
        self._readers = asyncio.Semaphore(readers)

    async def span(self, list_id: str) -> Span | None:
        """Return the times of the first and last event of a list; None for a list without events."""
        async with self._reading() as connection:
            row = await connection.fetchrow(_SPAN, uuid_of(list_id))
        return None if row is None or row["first"] is None else Span(*row)

    async def events(
        self, list_id: str, after: Place, until: datetime, types: Collection[str] | None
    ) -> EventPage:
        """Return the events after a place up to a time, of some types or of all."""
        async with self._reading() as connection:
            rows = await connection.fetch(
                EVENTS, uuid_of(list_id), *after, until, PAGE_EVENTS, types, PAGE_BYTES
            )
        wanted = [row for row in rows if row["event_id"] is not None]
        return EventPage(
            [row["place_at"] for row in wanted],
            [row["size"] for row in wanted],
            _end(rows, PAGE_EVENTS),
            wanted,
        )

    async def tasks(self, list_id: str, time: datetime, after: Place) -> SnapshotPage:
        """Return tasks that were in a list at a time; the first page is after `START`."""
        async with self._reading() as connection:
            rows = await connection.fetch(
                TASKS, uuid_of(list_id), *after, time, SNAPSHOT_EVENTS, SNAPSHOT_BYTES
            )
        states = (state_from_row(row) for row in rows)
        return SnapshotPage([state for state in states if state is not None], _end(rows, SNAPSHOT_EVENTS))

    async def list_at(self, list_id: str, time: datetime) -> bytes:
        """Return the JSON of a list at a time; `null` if it did not exist."""
        async with self._reading() as connection:
            found = await list_at(connection, list_id, Moment(time))
        return b"null" if found is None or found.deleted_at is not None else state_json(found)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        try:
            async with self._readers, self._database.pool.acquire() as connection:
                yield connection
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error


def _end(rows: Sequence[asyncpg.Record], limit: int) -> Place | None:
    """Return the place after a page whose statement looked at `limit` events at most."""
    if not rows or (len(rows) == rows[-1]["places"] < limit):
        return None
    last = rows[-1]
    return Place(last["place_at"], last["place_partition"], last["place_offset"])


def _update(prefix: bytes, row: asyncpg.Record) -> bytes:
    event, shown = event_and_shown(row)
    return update_json(event, (row["notified"] or "").encode(), shown, prefix)
