"""The rows of the audit as events and as updates: their columns in SQL, and what is made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import asyncpg

from app.channels import Channel, list_channel, task_channel, user_channel
from app.log.event_json import NO_CHANGES, NULL, RecordedEvent
from app.log.state_values import changes_since, changes_to_first
from app.log.updates import Update, update_from_event
from app.positions import Position
from app.stream_ids import StreamId
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.postgres.id_columns import text_of
from projections.read_models.packed_states import unpack


def state_columns(table: str = "audit") -> str:
    """Return the columns that `state_from_row` needs besides `stream`, of an alias of the table."""
    return f"{text_of('list_id', table)} AS list_id, state"


def event_columns(table: str = "audit") -> str:
    """Return `EVENT_COLUMNS` of an alias of the table."""
    return f"""
        {text_of("event_id", table)} AS event_id, type, stream, version, partition, "offset", outcome, reason,
        time, recorded_at, actor, source, {text_of("correlation_id", table)} AS correlation_id,
        {text_of("causation_id", table)} AS causation_id, data, former,
        {state_columns(table)}
    """


def update_columns(table: str = "audit") -> str:
    """Return `UPDATE_COLUMNS` of an alias of the table."""
    return f"""
        {event_columns(table)}, {text_of("left_list_id", table)} AS left_list_id,
        user_ids, notified, deleted_at
    """


EVENT_COLUMNS = event_columns()
"""The columns that `event_from_row` needs, in the order of the fields of `RecordedEvent`."""
_COLUMN_COUNT = 18
UPDATE_COLUMNS = update_columns()
"""The columns that `update_from_row` needs."""

_RANGE = f"""
    SELECT {UPDATE_COLUMNS}, places.after FROM audit LEFT JOIN LATERAL (
        SELECT array_agg(place.partition || ':' || place."offset") AS after
        FROM unnest(ARRAY[{text_of("list_id")}, {text_of("left_list_id")}]) AS id CROSS JOIN LATERAL (
            SELECT a.partition, a."offset" FROM audit a
            WHERE {stream_sql.is_stream(stream_sql.stream_of("list", "id"), "a.stream")}
              AND a.outcome = 'accepted' AND a.recorded_at <= audit.recorded_at
            ORDER BY a.version DESC LIMIT 1
        ) place WHERE place.partition <> audit.partition
    ) places ON audit.{stream_sql.IS_TASK}
    WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3
    ORDER BY "offset" LIMIT $4
"""  # noqa: S608
_LAST_CHANGES = f"""
    SELECT id, place.partition, place."offset" FROM unnest($1::text[]) AS id CROSS JOIN LATERAL (
        SELECT a.partition, a."offset" FROM audit a
        WHERE {stream_sql.is_stream(stream_sql.stream_of("list", "id"), "a.stream")}
          AND a.outcome = 'accepted' ORDER BY a.version DESC LIMIT 1
    ) place
"""  # noqa: S608

COMMAND_HASH = "coalesce(foreign_texts ->> 'command_hash', encode(command_hash, 'hex'))"
"""The text of the hash of a command."""


async def updates_between(
    connection: Connection, partition: int, first: int, end: int, *, limit: int
) -> list[Update]:
    """Return the updates of the offsets `[first, end)` of a partition, at most `limit`, in order."""
    rows = await connection.fetch(_RANGE, partition, first, end, limit)
    return [update_from_row(row, tuple(map(Position.parse, row["after"] or ()))) for row in rows]


async def last_changes(connection: Connection, list_ids: Collection[str]) -> dict[str, Position]:
    """Return the position at which each list last changed; omit lists that do not exist."""
    rows = await connection.fetch(_LAST_CHANGES, list_ids)
    return {row["id"]: Position(row["partition"], row["offset"]) for row in rows}


def update_from_row(row: asyncpg.Record, after: tuple[Position, ...] = ()) -> Update:
    """Return the update of a row with `UPDATE_COLUMNS`, as first emitted except for JSON white space."""
    event, shown = event_and_shown(row)
    channels = tuple(_channels(row, event.stream)) if event.outcome == "accepted" else ()
    return update_from_event(event, channels, (row["notified"] or "").encode(), shown, after)


def event_from_row(row: asyncpg.Record) -> RecordedEvent:
    """Return the event of a row that starts with `EVENT_COLUMNS`, in their order."""
    return _event(row, state_from_row(row))


def event_and_state(row: asyncpg.Record) -> tuple[RecordedEvent, bytes | None]:
    """Return the event of a row that starts with `EVENT_COLUMNS`, and the JSON of the state after it."""
    state = state_from_row(row)
    return _event(row, state), state


def columns_from_rows(rows: Sequence[asyncpg.Record]) -> list[Sequence[Any]]:
    """Return the values of the events of such rows, by column, from the id to the data and the changes.

    The position takes two columns. Events made one by one would take twice as long.
    """
    *shown, data, former, list_id, state = [*zip(*rows, strict=True)][:_COLUMN_COUNT]
    changes = map(_unpacked_changes, shown[2], shown[3], shown[6], former, list_id, state)
    return [*shown, [each or "null" for each in data], [*changes]]


def event_and_shown(row: asyncpg.Record) -> tuple[RecordedEvent, bytes]:
    """Return the event of a row with `UPDATE_COLUMNS`, and the JSON of the state: `null` if it is gone."""
    state = state_from_row(row)
    return _event(row, state), NULL if state is None or row["deleted_at"] else state


def state_from_row(row: asyncpg.Record) -> bytes | None:
    """Return the JSON of the state in a row with `stream` and `state_columns`."""
    packed = row["state"]
    return None if packed is None else unpack(packed, StreamId(row["stream"]), row["list_id"])


def _event(row: asyncpg.Record, state: bytes | None) -> RecordedEvent:
    event_id, event_type, text, version, partition, offset, outcome, *others, data, former = row[:16]
    stream = None if text is None else StreamId(text)
    changes = _changes(stream, version, outcome, former, state)
    place = Position(partition, offset)
    data_json = (data or "null").encode()
    return RecordedEvent._make(
        (event_id, event_type, stream, version, place, outcome, *others, data_json, changes)
    )


def _unpacked_changes(
    stream: str | None,
    version: int | None,
    outcome: str,
    former: str | None,
    list_id: str | None,
    packed: bytes | None,
) -> bytes:
    if packed is None or stream is None:
        return NO_CHANGES
    found = StreamId(stream)
    return _changes(found, version, outcome, former, unpack(packed, found, list_id))


def _changes(
    stream: StreamId | None, version: int | None, outcome: str, former: str | None, state: bytes | None
) -> bytes:
    if stream is None or state is None:
        return NO_CHANGES
    if former is not None:
        return changes_since(former, stream.kind, state)
    return changes_to_first(stream.kind, state) if version == 1 and outcome == "accepted" else NO_CHANGES


def _channels(row: asyncpg.Record, stream: StreamId | None) -> Iterator[Channel]:
    """Yield the channels of an accepted record, in the order of `app.log.fold.channels`."""
    for user in row["user_ids"] or ():
        yield user_channel(user)
    if row["list_id"] is None:
        return
    yield list_channel(row["list_id"])
    if row["left_list_id"] is not None:
        yield list_channel(row["left_list_id"])
    if stream is not None and stream.kind == "task":
        yield task_channel(stream.key)
