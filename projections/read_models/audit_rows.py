"""The rows of the audit as events and as updates: their columns in SQL, and what is made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import asyncpg

from app.channels import Channel, list_channel, task_channel, user_channel
from app.dates import format_time
from app.log.event_json import RecordedEvent, update_json
from app.log.updates import Update
from app.positions import Position
from app.stream_ids import NO_STREAM, StreamId
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.postgres.id_columns import text_of


def event_columns(table: str = "audit") -> str:
    """Return `EVENT_COLUMNS` of an alias of the table."""
    return f"""
        {text_of("event_id", table)} AS event_id, type, stream, version, partition, "offset", outcome, reason,
        time, recorded_at, actor, source, {text_of("correlation_id", table)} AS correlation_id,
        {text_of("causation_id", table)} AS causation_id, data, changes
    """


def update_columns(table: str = "audit") -> str:
    """Return `UPDATE_COLUMNS` of an alias of the table."""
    return f"""
        {event_columns(table)}, state, user_ids, notified,
        {text_of("list_id", table)} AS list_id, {text_of("left_list_id", table)} AS left_list_id,
        coalesce(state ->> 'deleted_at', '') <> '' OR state IS NULL AS gone
    """


EVENT_COLUMNS = event_columns()
"""The columns that `event_from_row` needs, in the order of the fields of `RecordedEvent`."""
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
    return [
        replace(update_from_row(row), after=tuple(map(Position.parse, row["after"] or ()))) for row in rows
    ]


async def last_changes(connection: Connection, list_ids: Collection[str]) -> dict[str, Position]:
    """Return the position at which each list last changed; omit lists that do not exist."""
    rows = await connection.fetch(_LAST_CHANGES, list_ids)
    return {row["id"]: Position(row["partition"], row["offset"]) for row in rows}


def update_from_row(row: asyncpg.Record) -> Update:
    """Return the update of a row with `UPDATE_COLUMNS`, as first emitted except for JSON white space."""
    event = event_from_row(row)
    return Update(
        position=event.position,
        stream=event.stream or NO_STREAM,
        event_id=event.id or "",
        outcome=event.outcome,
        channels=tuple(_channels(row)),
        value=update_json(event, (row["notified"] or "").encode(), shown_state(row)),
        time=format_time(event.recorded_at),
    )


def event_from_row(row: asyncpg.Record) -> RecordedEvent:
    """Return the event of a row that starts with `EVENT_COLUMNS`, in their order."""
    values = tuple(row.values())
    data, changes = values[14] or "null", values[15] or "{}"
    stream = None if values[2] is None else StreamId(values[2])
    position = Position(values[4], values[5])
    return RecordedEvent._make(
        (*values[:2], stream, values[3], position, *values[6:14], data.encode(), changes.encode())
    )


def shown_state(row: asyncpg.Record) -> bytes:
    """Return the JSON of the state in a row with `UPDATE_COLUMNS`: `null` if it is gone."""
    return b"null" if row["gone"] else row["state"].encode()


def _channels(row: asyncpg.Record) -> Iterable[Channel]:
    if row["outcome"] != "accepted":
        return
    for user in row["user_ids"] or ():
        yield user_channel(user)
    if row["list_id"] is None:
        return
    yield list_channel(row["list_id"])
    if row["left_list_id"] is not None:
        yield list_channel(row["left_list_id"])
    stream = StreamId(row["stream"])
    if stream.kind == "task":
        yield task_channel(stream.key)
