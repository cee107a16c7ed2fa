"""The tables of the read models, and the control tables beside them.

Read models live in one schema per generation (`schema_translate_map` puts it in place of None), so that a
new generation can be built beside the live one. The control tables outlive every generation.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

read_models = MetaData()
control = MetaData()

READ_MODELS_VERSION = 1
"""Raised whenever a table or a projection changes; a live generation of another version is rebuilt."""


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _texts(name: str) -> Column[object]:
    return Column(name, ARRAY(Text), nullable=False)


tasks = Table(
    "tasks",
    read_models,
    Column("id", Text, primary_key=True),
    Column("list_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("stage", Text),
    Column("priority", Text, nullable=False),
    Column("due", Text),
    Column("time_zone", Text),
    _texts("tags"),
    _texts("assignees"),
    Column("parent_id", Text),
    Column("recurrence", Text),
    _texts("reminders"),
    Column("rank", Text(collation="C"), nullable=False),
    Column("version", BigInteger, nullable=False),
    _time("created_at"),
    Column("created_by", Text, nullable=False),
    _time("updated_at"),
    _time("completed_at", nullable=True),
    _time("deleted_at", nullable=True),
    # For sorting and filtering: the instant that `due` means, and 0 (none) to 4 (urgent).
    _time("due_at", nullable=True),
    Column("priority_order", SmallInteger, nullable=False),
    Index("tasks_by_list", "list_id", "rank", "id"),
)
"""The state of every task, deleted ones included."""

lists = Table(
    "lists",
    read_models,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("inbox", Boolean, nullable=False),
    Column("members", JSONB, nullable=False),
    Column("version", BigInteger, nullable=False),
    _time("created_at"),
    Column("created_by", Text, nullable=False),
    _time("updated_at"),
    _time("deleted_at", nullable=True),
)
"""The state of every list, deleted ones included; `members` is `{user: role}`."""

list_members = Table(
    "list_members",
    read_models,
    Column("list_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Index("list_members_by_user", "user_id"),
)
"""Who may see which list that is not deleted: what authorisation asks."""

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
    _time("time", nullable=True),
    _time("recorded_at"),
    Column("actor", Text),
    Column("source", Text),
    Column("correlation_id", Text),
    Column("causation_id", Text),
    Column("command_hash", Text),
    Column("data", JSONB),
    Column("changes", JSONB),
    # Kept as text: it is only ever handed on whole.
    Column("state", JSON),
    # Whom an accepted record concerns: list_id for list: channels, left_list_id for the list a task left,
    # user_ids for user: channels. Null unless accepted; the stream itself is the task: channel.
    Column("list_id", Text),
    Column("left_list_id", Text),
    Column("user_ids", ARRAY(Text)),
    Index("audit_by_stream", "stream", "version"),
    Index("audit_by_list", "list_id", "partition", "offset"),
    Index("audit_by_event", "event_id"),
    Index("audit_by_left_list", "left_list_id", postgresql_where=text("left_list_id IS NOT NULL")),
    Index(
        "audit_by_user",
        "user_ids",
        postgresql_using="gin",
        postgresql_where=text("user_ids IS NOT NULL"),
    ),
)
"""Every record of the log, once, with its outcome, what it changed, and the state after it."""

dead_letters = Table(
    "dead_letters",
    read_models,
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("stream", Text),
    Column("holds", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    _time("parked_at"),
    _time("attempted_at"),
    Column("key", LargeBinary),
    Index("dead_letters_by_stream", "stream"),
)
"""Records that are parked now; `holds` marks the one that its stream waits for."""

checkpoints = Table(
    "checkpoints",
    read_models,
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    # Updates of the offsets below are known to be on task-updates; those from here to next_offset may not be.
    Column("emitted_offset", BigInteger, nullable=False),
)
"""How far each partition of the log has been folded into the tables of this schema."""

generations = Table(
    "generations",
    control,
    Column("number", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    _time("created_at"),
)
"""The generations of the read models; `status` is `live`, `building` or `retired`."""

log_identity = Table(
    "log_identity",
    control,
    Column("topic", Text, primary_key=True),
    Column("cluster_id", Text, nullable=False),
    Column("partitions", Integer, nullable=False),
)
"""Which log the read models were built from."""
