"""The tables of the read models, and the control tables.

Read models are in one schema per generation (`schema_translate_map` replaces None by it), so that a new
generation can be built while another is live. The control tables outlive every generation.
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
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, TSVECTOR

read_models = MetaData()
control = MetaData()

READ_MODELS_VERSION = 8
"""Raised whenever a table or a projection changes; a live generation of another version is rebuilt."""

PENDING_KIB = 256


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
    Column("recurrence_from", Text, nullable=False),
    Column("series", JSONB),
    Column("reminders", JSONB, nullable=False),
    _texts("reminded"),
    Column("comment_count", Integer, nullable=False),
    Column("rank", Text(collation="C"), nullable=False),
    Column("version", BigInteger, nullable=False),
    _time("created_at"),
    Column("created_by", Text, nullable=False),
    _time("updated_at"),
    _time("completed_at", nullable=True),
    _time("deleted_at", nullable=True),
    # For sorting and searching: the instant that `due` means, 0 (none) to 4 (urgent), the sort key of the
    # title, the status bucket of the task (`projections.read_models.tasks`), and `app.search.facets`.
    _time("due_at", nullable=True),
    Column("priority_order", SmallInteger, nullable=False),
    Column("title_order", Text(collation="C"), nullable=False),
    Column("shelf", SmallInteger, nullable=False),
    _texts("facets"),
    Index("tasks_by_list", "list_id", "rank", "id"),
    Index("tasks_by_parent", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
    Index(
        "tasks_by_stage",
        "list_id",
        "stage",
        "status",
        postgresql_where=text("stage IS NOT NULL AND deleted_at IS NULL"),
    ),
    # Every sort order of tasks; queries merge lists and status buckets.
    Index("tasks_by_rank", "list_id", "shelf", "rank", "id"),
    Index("tasks_by_creation", "list_id", "shelf", "created_at", "id"),
    Index("tasks_by_change", "list_id", "shelf", "updated_at", "id"),
    Index("tasks_by_due", "list_id", "shelf", "due_at", "id"),
    Index("tasks_by_priority", "list_id", "shelf", "priority_order", "id"),
    Index("tasks_by_title", "list_id", "shelf", "title_order", "id"),
    # Users name tasks by the ends of their ids, which differ the most.
    Index("tasks_by_end_of_id", text('reverse(id) COLLATE "C"')),
)
"""The state of every task, deleted ones included."""

task_search = Table(
    "task_search",
    read_models,
    Column("task_id", Text, primary_key=True),
    # As in `tasks`. Of these only facets and due dates are indexed: while neither they nor the words change,
    # Postgres updates a row in its page, which has some free space for it.
    Column("list_id", Text, nullable=False),
    Column("shelf", SmallInteger, nullable=False),
    Column("priority_order", SmallInteger, nullable=False),
    _time("created_at"),
    _time("updated_at"),
    _time("due_at", nullable=True),
    Column("due", Text),
    Column("rank", Text(collation="C"), nullable=False),
    Column("title_order", Text(collation="C"), nullable=False),
    _texts("facets"),
    Column("document", TSVECTOR, nullable=False),
    # One index of both finds tasks by words and facets. New entries are merged into it periodically;
    # until then, a search also scans up to this many KiB.
    Index(
        "task_search_by_words_and_facets",
        "document",
        "facets",
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": PENDING_KIB},
    ),
    Index("task_search_by_due", "list_id", "due_at"),
    postgresql_with={"fillfactor": 85},
)
"""The index of tasks for lookups: the words of every task, with their places in title, notes and comments.

It also contains the other search and sort keys, so that no other table is read.
"""

lists = Table(
    "lists",
    read_models,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("inbox", Boolean, nullable=False),
    Column("members", JSONB, nullable=False),
    Column("stages", JSONB, nullable=False),
    Column("version", BigInteger, nullable=False),
    _time("created_at"),
    Column("created_by", Text, nullable=False),
    _time("updated_at"),
    _time("deleted_at", nullable=True),
    Index(
        "deleted_lists_by_member",
        "members",
        postgresql_using="gin",
        postgresql_ops={"members": "jsonb_path_ops"},
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
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
"""The members of each list that is not deleted, for authorisation."""

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

comments = Table(
    "comments",
    read_models,
    Column("task_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("author", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("mentions", ARRAY(Text), nullable=False),
    _time("created_at"),
    _time("edited_at", nullable=True),
    _time("deleted_at", nullable=True),
    Index("comments_by_task", "task_id", "created_at", "id"),
)
"""The comments on tasks, including deleted ones."""

reminders = Table(
    "reminders",
    read_models,
    Column("task_id", Text, primary_key=True),
    _time("at"),
    Column("instant", Text, primary_key=True),
    Column("partition", Integer, nullable=False),
    Index("reminders_by_time", "partition", "at", "task_id"),
)
"""The reminders of open tasks that have not fired; `instant` is the time in the form of events.

`partition` is the task's: the worker that projects it fires them.
"""

notifications = Table(
    "notifications",
    read_models,
    Column("user_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    # The content of the notification; null while only the user's read mark has been folded.
    Column("kind", Text),
    Column("task_id", Text),
    Column("list_id", Text),
    Column("comment_id", Text),
    Column("actor", Text),
    _time("time", nullable=True),
    Column("partition", Integer),
    Column("offset", BigInteger),
    # The user's read mark, and the version of their stream that set it; see notification_marks.
    Column("read", Boolean),
    Column("read_version", BigInteger),
    Index("notifications_by_time", "user_id", "time", "id", postgresql_where=text("time IS NOT NULL")),
    Index(
        "notifications_not_read",
        "user_id",
        "time",
        "id",
        postgresql_where=text("time IS NOT NULL AND read IS NOT TRUE"),
    ),
    Index(
        "notifications_unread_again",
        "user_id",
        "time",
        "id",
        postgresql_where=text("time IS NOT NULL AND read IS FALSE"),
    ),
)
"""The notifications of users, and their read marks; `id` is the event's.

Both halves of a row come from different partitions of the log, in any order.
"""

notification_marks = Table(
    "notification_marks",
    read_models,
    Column("user_id", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    _time("read_until"),
)
"""The times up to which users have read everything, with the version of their stream that set them.

A mark that a later one covers is removed. A mark overrides earlier read marks of single notifications.
"""

users = Table(
    "users",
    read_models,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    _time("created_at"),
    _time("updated_at"),
    _time("deleted_at", nullable=True),
)
"""The state of every user who has a stream."""

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
"""The parked records; `holds` marks the one that its stream waits for."""

checkpoints = Table(
    "checkpoints",
    read_models,
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    # Updates of the offsets below are on task-updates; those from here to next_offset may be missing.
    Column("emitted_offset", BigInteger, nullable=False),
)
"""The folded offsets of each partition of the log, in the tables of this schema."""

generations = Table(
    "generations",
    control,
    Column("number", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    _time("created_at"),
)
"""The generations of the read models; `status` is `live`, `building` or `retired`."""

policy_checkpoints = Table(
    "policy_checkpoints",
    control,
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)
"""The offsets up to which policies have reacted to the log.

A rebuild leaves them unchanged, so that nothing is done twice.
"""

workers = Table(
    "workers",
    control,
    Column("slot", Text, primary_key=True),
    _time("seen_at"),
    Column("ready", Boolean, nullable=False),
    Column("partitions", ARRAY(Integer), nullable=False),
    Column("figures", JSON, nullable=False),
)
"""The last report of each worker."""

log_identity = Table(
    "log_identity",
    control,
    Column("topic", Text, primary_key=True),
    Column("cluster_id", Text, nullable=False),
    Column("partitions", Integer, nullable=False),
)
"""The log that the read models were built from."""
