"""The rows of the audit as events and as updates: their columns in SQL, and what is made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import asyncpg
from pydantic_core import from_json, to_json

from app.channels import Channel, list_channel, task_channel, user_channel
from app.dates import format_time
from app.log.event_json import NULL, RecordedEvent, changes_json, update_json
from app.log.fold import changes
from app.log.updates import Update, state_from_json
from app.positions import Position
from app.stream_ids import NO_STREAM, StreamId
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
    event, shown = event_and_shown(row)
    return Update(
        position=event.position,
        stream=event.stream or NO_STREAM,
        event_id=event.id or "",
        outcome=event.outcome,
        channels=tuple(_channels(row)),
        value=update_json(event, (row["notified"] or "").encode(), shown),
        time=format_time(event.recorded_at),
    )


def event_from_row(row: asyncpg.Record) -> RecordedEvent:
    """Return the event of a row that starts with `EVENT_COLUMNS`, in their order."""
    return _event(row, state_from_row(row))


def event_and_shown(row: asyncpg.Record) -> tuple[RecordedEvent, bytes]:
    """Return the event of a row with `UPDATE_COLUMNS`, and the JSON of the state: `null` if it is gone."""
    state = state_from_row(row)
    return _event(row, state), NULL if state is None or row["deleted_at"] else state


def state_from_row(row: asyncpg.Record) -> bytes | None:
    """Return the JSON of the state in a row with `stream` and `state_columns`."""
    packed = row["state"]
    return None if packed is None else unpack(packed, StreamId(row["stream"]), row["list_id"])


def _event(row: asyncpg.Record, state: bytes | None) -> RecordedEvent:
    values = tuple(row.values())
    data, stream = values[14] or "null", values[2]
    position = Position(values[4], values[5])
    return RecordedEvent._make(
        (
            *values[:2],
            None if stream is None else StreamId(stream),
            values[3],
            position,
            *values[6:14],
            data.encode(),
            _changes(row, state),
        )
    )


def _changes(row: asyncpg.Record, state: bytes | None) -> bytes:
    """Return what changed: the former values, and the new ones of the state."""
    former = row["former"]
    if state is not None and former is not None:
        new = from_json(state, cache_strings="keys")
        return to_json({name: (value, new[name]) for name, value in from_json(former).items()})
    if state is None or row["version"] != 1 or row["outcome"] != "accepted":
        return b"{}"
    return changes_json(changes(None, state_from_json(StreamId(row["stream"]).kind, state)))


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
