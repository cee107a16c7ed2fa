"""The audit: every record of the log, once, with its outcome, its changes and the state after it.

It is also the history of the relay: updates of any age are rebuilt from it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from json import JSONEncoder
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

from app.activity import activity_type
from app.lists.members import affected_by
from app.lists.state import TaskList
from app.log.effective_times import successors_in
from app.log.event_json import NO_CHANGES, notified_json
from app.log.recipients import notified
from app.stream_ids import NO_STREAM
from app.tasks.state import Task
from app.users import User
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.postgres.id_columns import is_itself, text_of, uuid_of, uuids_of
from projections.postgres.tables import read_models, time_column
from projections.read_models.packed_states import pack
from projections.read_models.projected import Projected, ProjectedBatch

AT = '(coalesce(effective_time, "time"))'
"""The time from which an accepted event counts: see `app.log.effective_times`."""


def at_of(table: str) -> str:
    """Return `AT` of a table, or of an alias of it."""
    return f'coalesce({table}.effective_time, {table}."time")'


PLACE_BITS = 48
"""The bits of an offset in `place_of`, which leave 15 for the partition."""
MOST_PARTITIONS, MOST_RECORDS = 2 ** (63 - PLACE_BITS), 2**PLACE_BITS
"""The most partitions of a log, and the most records of each, that `place_of` can number."""


def place_of(partition: str, offset: str) -> str:
    """Return a number for a position, an expression, in the order of partitions and then of offsets."""
    return f"(({partition})::bigint << {PLACE_BITS} | {offset})"


PLACE = place_of("partition", '"offset"')
BLOCK_BITS = 6


def block_of(offset: str) -> str:
    """Return the number of the block of offsets that an offset belongs to, an expression."""
    return f"{offset} >> {BLOCK_BITS}"


audit = Table(
    "audit",
    read_models,
    # The widest come first, so that no row has gaps.
    Column("offset", BigInteger),
    Column("version", BigInteger),
    time_column("time", nullable=True),
    time_column("recorded_at"),
    # The time of a later event of its stream that has an earlier time than this one; otherwise null.
    time_column("effective_time", nullable=True),
    # That of the state: when the task or list was deleted, if it was.
    time_column("deleted_at", nullable=True),
    Column("partition", Integer),
    # The size of the JSON of the state.
    Column("state_bytes", Integer),
    # True if a policy must process it.
    Column("reacts", Boolean),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("stream", Text),
    Column("type", Text),
    Column("actor", Text),
    Column("source", Text),
    # Ids as in `projections.postgres.id_columns`.
    Column("event_id", Uuid),
    Column("correlation_id", Uuid),
    Column("causation_id", Uuid),
    Column("command_hash", LargeBinary),
    # Column → the text of its id, for those that cannot be told from the column; nearly always null.
    Column("foreign_texts", JSONB),
    Column("data", JSONB),
    # The former values of the fields that changed, unless none did, or there was no state before. The new
    # values are in the state. JSONB would take a quarter more.
    Column("former", JSON),
    # As in `packed_states`.
    Column("state", LargeBinary),
    # The recipients of an accepted record: list_id for list: channels, left_list_id for the list a task left,
    # user_ids for user: channels. Null unless accepted; the stream itself is the task: channel.
    Column("list_id", Uuid),
    Column("left_list_id", Uuid),
    Column("user_ids", ARRAY(Text)),
    # User → kind of notification, for the users whom an accepted record notifies.
    Column("notified", JSONB),
    # The activity type of an accepted record; null if the feed does not show it.
    Column("activity", Text),
    PrimaryKeyConstraint("partition", "offset", name="audit_pkey"),
    Index("audit_by_stream", text(stream_sql.hash_of("stream")), "version"),
    # By blocks of offsets, so that PostgreSQL stores the key of a block once for all its rows.
    Index("audit_by_list", "list_id", "partition", text("(" + block_of('"offset"') + ")")),
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
    # With places instead of two columns, which take twice as much.
    Index("audit_by_list_time", "list_id", text(AT), text(PLACE)),
    Index(
        "audit_by_left_list_time",
        "left_list_id",
        text(AT),
        text(PLACE),
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
VERSION = 1
COLUMNS = tuple(column.name for column in audit.columns)
PASSED_ON = ("data", "former", "state")
"""The columns that no query searches; statistics of their values take longer than those of all others."""
_PARTITION, _OFFSET, _USER_IDS = map(COLUMNS.index, ("partition", "offset", "user_ids"))
_USER_COLUMNS = tuple(column.name for column in audit_users.columns)
_ACCEPTED = f"""
    SELECT stream, {text_of("event_id")} AS event_id FROM audit
    WHERE event_id = ANY($1::uuid[]) AND outcome = 'accepted'
"""  # noqa: S608

_EFFECTIVE_TIMES = f"""
    UPDATE audit SET effective_time = successor.time
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[])
        AS successor(stream, first, version, time)
    WHERE {stream_sql.is_stream("successor.stream", "audit.stream")} AND audit.outcome = 'accepted'
      AND audit.version >= greatest(successor.first, 1) AND audit.version < successor.version
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
ID_COLUMNS = ("event_id", "correlation_id", "causation_id", "list_id", "left_list_id")
# With sorted keys: a state that was read from JSONB has the keys of its objects in another order.
_ENCODED = JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
_IS_HASH = re.compile("[0-9a-f]{32}").fullmatch


async def accepted_ids(connection: Connection, event_ids: Collection[str]) -> set[tuple[str, str]]:
    """Return those of these event ids that were accepted already, as (stream, event id)."""
    rows = await connection.fetch(_ACCEPTED, uuids_of(event_ids))
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
    concerned = [(user, row[_PARTITION], row[_OFFSET]) for row in rows for user in row[_USER_IDS] or ()]
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
    ids = event.id, event.correlation_id, event.causation_id, list_id, left_list_id
    command_hash = record.command_hash if record else None
    return (
        event.position.offset,
        event.version,
        event.time,
        event.recorded_at,
        None,
        None if after is None else after.deleted_at,
        event.position.partition,
        None if after is None else len(projected.state),
        projected.reacts or None,
        event.outcome,
        event.reason,
        event.stream,
        event.type,
        event.actor,
        event.source,
        *map(uuid_of, ids[:3]),
        _hash_bytes(command_hash),
        _foreign_texts(ids, command_hash),
        event.data.decode() if record else None,
        _former(projected),
        None if after is None else pack(projected.state, event.stream or NO_STREAM, list_id),
        *map(uuid_of, ids[3:]),
        user_ids,
        notified_json(recipients).decode() or None,
        activity_type(folded),
    )


def _former(projected: Projected) -> str | None:
    if projected.folded.before is None or projected.event.changes == NO_CHANGES:
        return None
    changes = from_json(projected.event.changes)
    return _ENCODED({name: former for name, (former, _) in changes.items()})


def _hash_bytes(text: str | None) -> bytes | None:
    return bytes.fromhex(text) if text is not None and _IS_HASH(text) else None


def _foreign_texts(ids: Sequence[str | None], command_hash: str | None) -> str | None:
    """Return the texts of ids that their columns do not hold, as JSON."""
    has_hash = command_hash is None or _IS_HASH(command_hash)
    if has_hash and all(map(is_itself, ids)):
        return None
    texts = {name: each for name, each in zip(ID_COLUMNS, ids, strict=True) if not is_itself(each)}
    return to_json(texts if has_hash else {**texts, "command_hash": command_hash}).decode()
