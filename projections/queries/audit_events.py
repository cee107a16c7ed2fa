"""Queries of the audit: pages of events, their counts, and what a reader may see of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import asyncpg
from pydantic_core import from_json

from app.audit.access import Reader
from app.audit.changed_values import EMPTY, texts_of
from app.audit.groups import PERIODS
from app.audit.query import AuditQuery, Sort
from app.log.updates import state_from_json
from app.positions import Position
from app.stream_ids import StreamId, list_stream, user_stream
from app.tasks.state import Task
from projections.audit_search.conditions import AuditFilter, Scope
from projections.audit_search.counting import Counted, counted, known_text
from projections.audit_search.finding import DEFAULT_BOUNDS, WALKING, Bounds, Finder
from projections.audit_search.orders import Order, Place
from projections.postgres.connections import Connection
from projections.postgres.snapshots import POSITIONS_COLUMN, positions_in, snapshot
from projections.postgres.stream_ids import stream_of
from projections.queries.descriptions import Described, described
from projections.read_models import members
from projections.read_models.audit import PLACE_BITS
from projections.read_models.audit_rows import EVENT_COLUMNS, event_from_row, state_from_row

MOST_STORY_EVENTS = 1_000
_OFFSET = (1 << PLACE_BITS) - 1
_EVENTS = f"""
    SELECT {EVENT_COLUMNS}, notified
    FROM unnest($1::integer[], $2::bigint[]) WITH ORDINALITY AS wanted(p, o, n)
    JOIN audit ON partition = p AND "offset" = o ORDER BY n
"""  # noqa: S608
_SEEN = f"""
    SELECT ARRAY({members.lists_of("$1")}) AS lists, ARRAY(
        SELECT {stream_of("task", "tasks.id")} FROM tasks {members.seen_by("$1", "tasks.list_id")}
        WHERE tasks.id = ANY($2::text[])
    ) AS streams, {POSITIONS_COLUMN}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Events in order, the place of the last one if there are more, and the positions of the read models."""

    items: Sequence[Described]
    end: Place | None
    positions: dict[int, int]


@dataclass(frozen=True, slots=True)
class AuditStory:
    """Events in the order of recording, and whom each notified as what; `truncated` if there are more."""

    events: Sequence[Described]
    notified: Mapping[Position, Mapping[str, str]]
    truncated: bool
    positions: dict[int, int]


@dataclass(frozen=True, slots=True)
class AuditGroup:
    """A group of events: what they have in common, as text, and their number."""

    key: str | None
    count: int


@dataclass(frozen=True, slots=True)
class AuditCounts:
    """The largest groups or the latest periods, whether there are more, and the positions."""

    groups: Sequence[AuditGroup]
    truncated: bool
    positions: dict[int, int]


class AuditEvents:
    """The queries, on a pool of the live generation."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self._pool = pool
        self._bounds = bounds

    async def page(
        self, query: AuditQuery, reader: Reader, sort: Sort, *, after: Place | None, limit: int
    ) -> AuditPage:
        """Return at most `limit` events that the reader sees, after a place in the order."""
        async with snapshot(self._pool) as connection:
            scope, positions = await seen(connection, query, reader)
            chosen = AuditFilter.of(query, scope)
            finder = Finder(connection, chosen, Order.of(sort), limit + 1, self._bounds)
            places = await finder.find(after)
            items = await events_at(connection, [each.place for each in places[:limit]], reader)
        return AuditPage(items, places[limit - 1] if len(places) > limit else None, positions)

    async def story(self, query: AuditQuery, reader: Reader) -> AuditStory:
        """Return the first events that the reader sees, at most `MOST_STORY_EVENTS`, with notifications."""
        async with snapshot(self._pool) as connection:
            scope, positions = await seen(connection, query, reader)
            order = Order.of("recorded_at")
            finder = Finder(
                connection, AuditFilter.of(query, scope), order, MOST_STORY_EVENTS + 1, self._bounds
            )
            places = [each.place for each in await finder.find(None)]
            rows = await _rows_at(connection, places[:MOST_STORY_EVENTS])
            events = await described(connection, rows, reader)
        notified = {
            event.position: from_json(row["notified"])
            for (event, _), row in zip(events, rows, strict=True)
            if row["notified"]
        }
        return AuditStory(events, notified, len(places) > MOST_STORY_EVENTS, positions)

    async def counts(self, query: AuditQuery, reader: Reader, group: str, zone: ZoneInfo) -> AuditCounts:
        """Count the events that the reader sees; the periods are those of a time zone."""
        async with snapshot(self._pool) as connection:
            scope, positions = await seen(connection, query, reader)
            found, truncated = await counted(connection, AuditFilter.of(query, scope), group, zone.key)
            groups = await _named(connection, query, group, found, zone)
        return AuditCounts(groups, truncated, positions)

    async def are_own(self, query: AuditQuery, user: str) -> bool:
        """Return whether a user who is no administrator would see all events that a question asks for."""
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_SEEN, user, _tasks(query))
        assert row is not None
        lists, streams = set(row["lists"]), _own_streams(row["lists"], row["streams"], user)
        return bool(query.list_ids and lists.issuperset(query.list_ids)) or bool(
            query.streams and streams.issuperset(query.streams)
        )


async def events_at(connection: Connection, places: Sequence[int], reader: Reader) -> list[Described]:
    """Return the events at some places of the log, in the given order, described for a reader."""
    return await described(connection, await _rows_at(connection, places), reader)


async def _rows_at(connection: Connection, places: Sequence[int]) -> list[asyncpg.Record]:
    await connection.execute(WALKING)
    partitions = [place >> PLACE_BITS for place in places]
    return await connection.fetch(_EVENTS, partitions, [place & _OFFSET for place in places])


async def seen(
    connection: Connection, query: AuditQuery, reader: Reader
) -> tuple[Scope | None, dict[int, int]]:
    """Return what a reader sees, None for everything, and the positions of the read models."""
    row = await connection.fetchrow(_SEEN, reader.user, _tasks(query))
    assert row is not None
    if reader.sees_all:
        return None, positions_in(row)
    return Scope(row["lists"], [user_stream(reader.user), *row["streams"]]), positions_in(row)


def _tasks(query: AuditQuery) -> list[str]:
    return [stream.key for stream in query.streams if stream.kind == "task"]


def _own_streams(lists: Sequence[str], tasks: Sequence[str], user: str) -> set[str]:
    return {user_stream(user), *map(list_stream, lists), *tasks}


# --- groups ----------------------------------------------------------------------------------------------


async def _named(
    connection: Connection, query: AuditQuery, group: str, found: Sequence[Counted], zone: ZoneInfo
) -> list[AuditGroup]:
    """Return groups with their texts, which the events at their places have."""
    if group in PERIODS:
        return [AuditGroup(_period_text(group, each.value, zone), each.count) for each in reversed(found)]
    if group in ("type", "outcome", "field", "partition"):
        return [AuditGroup(known_text(group, each.value), each.count) for each in found]
    rows = await _rows_at(connection, [each.place for each in found])
    return [
        AuditGroup(None if each.value is None else _text_in(row, group, query), each.count)
        for each, row in zip(found, rows, strict=True)
    ]


def _period_text(group: str, begin: object, zone: ZoneInfo) -> str:
    assert isinstance(begin, datetime)
    local = begin.astimezone(zone)
    return local.isoformat() if group.endswith("hour") else local.date().isoformat()


def _text_in(row: asyncpg.Record, group: str, query: AuditQuery) -> str | None:
    """Return what the event in a row has in common with its group."""
    if group == "list_id":
        return _list_of(row)
    if group in ("from", "to"):
        changed = from_json(event_from_row(row).changes)[query.fields[0]]
        return next(iter(texts_of(changed[0 if group == "from" else 1])), EMPTY)
    text: str | None = row[group]
    return text


def _list_of(row: asyncpg.Record) -> str | None:
    if row["list_id"] is not None:
        return str(row["list_id"])
    stream, json = StreamId(row["stream"]), state_from_row(row)
    if stream.kind == "list" or json is None:
        return stream.key
    state = state_from_json(stream.kind, json)
    return state.list_id if isinstance(state, Task) else None
