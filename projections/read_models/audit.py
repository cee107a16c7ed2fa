"""The audit: every record of the log, once, with its outcome, its changes and the state after it.

It is also the history of the relay: updates of any age are rebuilt from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import asyncpg
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

from app.activity import activity_type
from app.channels import Channel, list_channel, task_channel, user_channel
from app.dates import format_time
from app.lists.members import affected_by
from app.lists.state import TaskList
from app.log.effective_times import successors_in
from app.log.event_json import RecordedEvent, notified_json, update_json
from app.log.recipients import notified
from app.log.updates import Update
from app.positions import Position
from app.stream_ids import NO_STREAM, StreamId
from app.tasks.state import Task
from app.users import User
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.postgres.tables import read_models, time_column
from projections.read_models.projected import Projected, ProjectedBatch

AT = '(coalesce(effective_time, "time"))'
"""The time from which an accepted event counts: see `app.log.effective_times`."""


def at_of(table: str) -> str:
    """Return `AT` of a table, or of an alias of it."""
    return f'coalesce({table}.effective_time, {table}."time")'


audit = Table(
    "audit",
    read_models,
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("stream", Text),
    Column("version", BigInteger),
    Column("type", Text),
    Column("event_id", Text),
    time_column("time", nullable=True),
    time_column("recorded_at"),
    Column("actor", Text),
    Column("source", Text),
    Column("correlation_id", Text),
    Column("causation_id", Text),
    Column("command_hash", Text),
    Column("data", JSONB),
    Column("changes", JSONB),
    # Kept as text, because it is only passed on as a whole.
    Column("state", JSON),
    # The recipients of an accepted record: list_id for list: channels, left_list_id for the list a task left,
    # user_ids for user: channels. Null unless accepted; the stream itself is the task: channel.
    Column("list_id", Text),
    Column("left_list_id", Text),
    Column("user_ids", ARRAY(Text)),
    # User → kind of notification, for the users whom an accepted record notifies.
    Column("notified", JSONB),
    # True if a policy must process it.
    Column("reacts", Boolean),
    # The activity type of an accepted record; null if the feed does not show it.
    Column("activity", Text),
    # The time of a later event of its stream that has an earlier time than this one; otherwise null.
    time_column("effective_time", nullable=True),
    Index("audit_by_stream", "stream", "version"),
    Index("audit_by_list", "list_id", "partition", "offset"),
    Index(
        "audit_by_activity",
        "list_id",
        "partition",
        "offset",
        postgresql_where=text("activity IS NOT NULL"),
    ),
    Index("audit_by_event", "event_id"),
    Index("audit_by_reaction", "partition", "offset", postgresql_where=text("reacts")),
    Index(
        "audit_by_left_list",
        "left_list_id",
        "partition",
        "offset",
        postgresql_where=text("left_list_id IS NOT NULL"),
    ),
    Index("audit_by_list_time", "list_id", text(AT), "partition", "offset"),
    Index(
        "audit_by_left_list_time",
        "left_list_id",
        text(AT),
        "partition",
        "offset",
        postgresql_where=text("left_list_id IS NOT NULL"),
    ),
)
"""Every record of the log, once, with its outcome, its changes, and the state after it."""

audit_users = Table(
    "audit_users",
    read_models,
    Column("user_id", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
)
"""The records that concern each user, in the order of the log: the `user_ids` of the audit."""

TABLES = (audit, audit_users)

COLUMNS = tuple(column.name for column in audit.columns)
_USER_IDS = COLUMNS.index("user_ids")
_USER_COLUMNS = tuple(column.name for column in audit_users.columns)
_ACCEPTED = "SELECT stream, event_id FROM audit WHERE event_id = ANY($1) AND outcome = 'accepted'"

_EFFECTIVE_TIMES = f"""
    UPDATE audit SET effective_time = successor.time
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[])
        AS successor(stream, first, version, time)
    WHERE audit.stream = successor.stream AND audit.outcome = 'accepted'
      AND audit.version >= successor.first AND audit.version < successor.version
      AND {at_of("audit")} > successor.time
"""  # noqa: S608

EFFECTIVE_TIMES_OF_ALL = """
    UPDATE audit SET effective_time = successors.earliest FROM (
        SELECT partition, "offset", time, min(time) OVER (
            PARTITION BY stream ORDER BY version ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
        ) AS earliest FROM audit WHERE outcome = 'accepted' AND version > 0
    ) AS successors
    WHERE audit.partition = successors.partition AND audit."offset" = successors."offset"
      AND successors.earliest < successors.time
"""  # after a load, which has no indexes to find some of them
EVENT_COLUMNS = """
    event_id, type, stream, version, partition, "offset", outcome, reason, time, recorded_at, actor, source,
    correlation_id, causation_id, data, changes
"""
"""The columns that `event_from_row` needs, in the order of the fields of `RecordedEvent`."""
UPDATE_COLUMNS = f"""
    {EVENT_COLUMNS}, state, list_id, left_list_id, user_ids, notified,
    coalesce(state ->> 'deleted_at', '') <> '' OR state IS NULL AS gone
"""
"""The columns that `update_from_row` needs."""

_RANGE = f"""
    SELECT {UPDATE_COLUMNS}, places.after FROM audit LEFT JOIN LATERAL (
        SELECT array_agg(place.partition || ':' || place."offset") AS after
        FROM unnest(ARRAY[audit.list_id, audit.left_list_id]) AS id CROSS JOIN LATERAL (
            SELECT a.partition, a."offset" FROM audit a
            WHERE a.stream = {stream_sql.stream_of("list", "id")}
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
        WHERE a.stream = {stream_sql.stream_of("list", "id")}
          AND a.outcome = 'accepted' ORDER BY a.version DESC LIMIT 1
    ) place
"""  # noqa: S608


async def accepted_ids(connection: Connection, event_ids: Collection[str]) -> set[tuple[str, str]]:
    """Return those of these event ids that were accepted already, as (stream, event id)."""
    rows = await connection.fetch(_ACCEPTED, event_ids)
    return {(row["stream"], row["event_id"]) for row in rows}


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write every record of the batch."""
    await write_in_load(connection, batch)
    successors = successors_in(projected.folded for projected in batch.records)
    if successors:
        await connection.execute(_EFFECTIVE_TIMES, *zip(*successors, strict=True))


async def write_in_load(connection: Connection, batch: ProjectedBatch) -> None:
    """Write every record of the batch; `EFFECTIVE_TIMES_OF_ALL` must follow once all are written."""
    rows = [_row(projected) for projected in batch.records]
    await connection.copy_records_to_table("audit", records=rows, columns=COLUMNS)
    concerned = [(user, *row[:2]) for row in rows for user in row[_USER_IDS] or ()]
    if concerned:
        await connection.copy_records_to_table("audit_users", records=concerned, columns=_USER_COLUMNS)


def _row(projected: Projected) -> tuple[Any, ...]:
    folded = projected.folded
    record, after, before = folded.record, folded.after, folded.before
    list_id = left_list_id = user_ids = None
    recipients: Mapping[str, str] = {}
    if folded.outcome == "accepted" and record is not None:
        recipients = notified(record)
        if isinstance(after, Task):
            list_id, left_list_id = (*projected.lists, None)[:2]
            user_ids = sorted(recipients) or None
        elif isinstance(after, TaskList):
            list_id = after.id
            user_ids = affected_by(before if isinstance(before, TaskList) else None, after)
        elif isinstance(after, User):
            user_ids = [after.id]
    event = projected.event
    return (
        *event.position,
        event.outcome,
        event.reason,
        event.stream,
        event.version,
        event.type,
        event.id,
        event.time,
        event.recorded_at,
        event.actor,
        event.source,
        event.correlation_id,
        event.causation_id,
        record.command_hash if record else None,
        event.data.decode() if record else None,
        event.changes.decode() if record else None,
        None if after is None else projected.state.decode(),
        list_id,
        left_list_id,
        user_ids,
        notified_json(recipients).decode() or None,
        projected.reacts or None,
        activity_type(folded),
        None,
    )


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
