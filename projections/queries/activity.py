"""Queries of the activity feed: the events of some lists, newest first, in groups, page by page.

The feed is in the order of the log: the order within each partition, merged by the log's time of each event.
The number of events read grows until a page is full, within `Bounds`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg
from pydantic_core import from_json

from app.activity import Entry, Group, actor_of, grouped, whole_windows, window_of
from app.log.event_json import RecordedEvent
from app.positions import Position
from app.stream_ids import StreamId
from projections.postgres.connections import Connection
from projections.postgres.id_columns import text_of, uuids_of
from projections.postgres.snapshots import positions_at, snapshot
from projections.read_models.audit_rows import EVENT_COLUMNS, event_from_row, state_from_row
from projections.read_models.members import lists_of

ENTRIES_GROWTH = 6
DEPTH_GROWTH = 8
EVENTS_SHOWN = 5
"""The number of events shown of a group, the newest ones."""

Place = tuple[datetime, int, int]
"""The order of the feed: the log's time of an event, its partition (descending) and its offset."""

_LISTS = lists_of("$1")
# Each branch is answered by one index only. Of its results, only the newest records of each partition
# are considered. The log's clock may be set back, but its order stays.
ENTRIES = f"""
WITH span AS (
    SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS s(partition, first, last)
), place AS (
    SELECT span.partition, newest."offset" FROM span, LATERAL (
        SELECT a."offset" FROM unnest($4::uuid[]) AS wanted(list_id), LATERAL (
            SELECT "offset" FROM audit
            WHERE list_id = wanted.list_id AND partition = span.partition
              AND "offset" BETWEEN span.first AND span.last AND activity IS NOT NULL
            ORDER BY "offset" DESC LIMIT $5
        ) a
        UNION
        SELECT a."offset" FROM unnest($4::uuid[]) AS wanted(list_id), LATERAL (
            SELECT "offset" FROM audit
            WHERE left_list_id = wanted.list_id AND partition = span.partition
              AND "offset" BETWEEN span.first AND span.last
            ORDER BY "offset" DESC LIMIT $5
        ) a
        ORDER BY "offset" DESC LIMIT $5
    ) newest
)
SELECT partition, "offset", activity, actor, source, stream, {text_of("list_id")} AS list_id,
    {text_of("left_list_id")} AS left_list_id,
    min(recorded_at) OVER (PARTITION BY partition ORDER BY "offset" DESC) AS at
FROM place JOIN audit USING (partition, "offset")
WHERE activity IS NOT NULL
ORDER BY at DESC, partition, "offset" DESC LIMIT $5
"""  # noqa: S608
TAKEN = """
    SELECT max(recorded_at) FROM audit
    JOIN unnest($1::int[], $2::bigint[]) AS wanted(partition, "offset") USING (partition, "offset")
"""
_SHOWN = f"""
    SELECT {EVENT_COLUMNS} FROM audit
    JOIN unnest($1::int[], $2::bigint[]) AS wanted(partition, "offset") USING (partition, "offset")
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Bounds:
    """The number of events read for a page, at first and at most, and of records per partition, at first.

    A group that is larger than the maximum is cut.
    """

    first_entries: int = 250
    most_entries: int = 9_000
    first_depth: int = 500


@dataclass(frozen=True, slots=True)
class Cut:
    """The end of a page: events from `below` (partition → offset) on are done, and groups down to `after`."""

    below: Mapping[int, int]
    after: Place | None


class FeedEvent(NamedTuple):
    """An event in the feed, and the title of its task, or the name of its list, after it."""

    event: RecordedEvent
    title: str


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Some groups, their newest events by position, and the end of the page if there is more."""

    groups: Sequence[Group]
    shown: Mapping[Position, FeedEvent]
    end: Cut | None
    positions: dict[int, int]


class ActivityQueries:
    """The queries, on a pool of the live generation. Callers see the events of their own lists."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], bounds: Bounds | None = None) -> None:
        self._pool = pool
        self._bounds = bounds or Bounds()

    async def page(
        self, user: str, *, list_id: str | None, actor: str | None, start: Cut | None, limit: int
    ) -> FeedPage | None:
        """Return a page of the feed of the user's lists or of one of them; None if that list is not theirs.

        With `actor`, return only the groups of that user. A page may contain fewer groups than `limit`, even
        none, and still have an end.
        """
        async with snapshot(self._pool) as connection:
            lists = {row["list_id"] for row in await connection.fetch(_LISTS, user)}
            positions = await positions_at(connection)
            if list_id is not None:
                if list_id not in lists:
                    return None
                lists = {list_id}
            cut = Cut(positions, None) if start is None else _within(start, positions)
            groups, end = await _groups(connection, lists, cut, self._bounds, actor=actor, limit=limit)
            shown = await _shown(connection, groups)
        return FeedPage(groups, shown, end, positions)


async def _groups(
    connection: Connection,
    lists: Collection[str],
    start: Cut,
    bounds: Bounds,
    *,
    actor: str | None,
    limit: int,
) -> tuple[list[Group], Cut | None]:
    depth, size, most = bounds.first_depth, bounds.first_entries, bounds.most_entries
    while True:
        found = await _entries(connection, lists, start.below, depth, size)
        entries = found.entries if found.end else whole_windows(found.entries)
        if found.full and size == most and not entries:
            entries = found.entries
        groups = [
            group
            for group in grouped(entries)
            if actor in (None, group.actor) and _is_behind(group, start.after)
        ]
        if len(groups) > limit:
            return groups[:limit], _cut_after(groups[limit - 1], entries, start.below)
        if found.end:
            return groups, None
        if not found.full:
            depth *= DEPTH_GROWTH
        elif size < most:
            size = min(size * ENTRIES_GROWTH, most)
        else:
            return groups, Cut(_below(entries, start.below), None)


@dataclass(frozen=True, slots=True)
class _Found:
    """The newest entries in order: all that exist (`end`), or as many as requested (`full`)."""

    entries: Sequence[Entry]
    full: bool
    end: bool


async def _entries(
    connection: Connection, lists: Collection[str], below: Mapping[int, int], depth: int, size: int
) -> _Found:
    first = {partition: max(0, last - depth + 1) for partition, last in below.items()}
    rows = await connection.fetch(
        ENTRIES, list(below), list(first.values()), list(below.values()), uuids_of(lists), size
    )
    entries = [_entry(row, lists) for row in rows]
    # An older event of one partition can be newer than the events found in another.
    further = {partition: offset - 1 for partition, offset in first.items() if offset > 0}
    known_from = await connection.fetchval(TAKEN, list(further), list(further.values()))
    known = [entry for entry in entries if known_from is None or entry.at > known_from]
    full = len(rows) == size and len(known) == len(entries)
    return _Found(known, full, end=not further and not full)


def _entry(row: asyncpg.Record, lists: Collection[str]) -> Entry:
    """Return the event as shown to the members of `lists`: a task that left them shows that it left."""
    list_id, type_ = row["list_id"], row["activity"]
    if list_id not in lists:
        list_id = row["left_list_id"]
        type_ = "task.moved_out" if type_ == "task.moved_in" else type_
    return Entry(
        row["at"],
        row["partition"],
        row["offset"],
        type_,
        actor_of(type_, row["actor"], row["source"]),
        list_id,
        StreamId(row["stream"]),
    )


def _within(cut: Cut, positions: Mapping[int, int]) -> Cut:
    """Limit a cut from any source to positions that exist in the log."""
    below = {partition: min(last, cut.below.get(partition, -1)) for partition, last in positions.items()}
    return Cut(below, cut.after)


def _is_behind(group: Group, after: Place | None) -> bool:
    return after is None or _place(group.entries[0]) < after


def _place(entry: Entry) -> Place:
    return entry.at, -entry.partition, entry.offset


def _cut_after(group: Group, entries: Sequence[Entry], below: Mapping[int, int]) -> Cut:
    """Return the cut after a group: earlier windows are done, and the preceding groups of its window."""
    last = group.entries[0]
    done = [entry for entry in entries if window_of(entry) > window_of(last)]
    return Cut(_below(done, below), _place(last))


def _below(done: Sequence[Entry], below: Mapping[int, int]) -> dict[int, int]:
    left = dict(below)
    for entry in done:
        left[entry.partition] = min(left[entry.partition], entry.offset - 1)
    return left


def _title(row: asyncpg.Record) -> str:
    state = from_json(state_from_row(row) or b"{}")
    title: str = state.get("title") or state.get("name") or ""
    return title


async def _shown(connection: Connection, groups: Sequence[Group]) -> dict[Position, FeedEvent]:
    places = [entry.position for group in groups for entry in group.entries[:EVENTS_SHOWN]]
    rows = await connection.fetch(
        _SHOWN, [place.partition for place in places], [place.offset for place in places]
    )
    shown = [FeedEvent(event_from_row(row), _title(row)) for row in rows]
    return {each.event.position: each for each in shown}
