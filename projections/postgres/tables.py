"""The control tables, the checkpoints, and the metadata that the tables of read models register in.

Read models are in one schema per generation (`schema_translate_map` replaces None by it), so that a new
generation can be built while another is live. The control tables outlive every generation.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON

read_models = MetaData()
control = MetaData()
loading = MetaData()


def time_column(name: str, *, nullable: bool = False) -> Column[object]:
    """Return a column for an instant."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def texts_column(name: str) -> Column[object]:
    """Return a column for several texts."""
    return Column(name, ARRAY(Text), nullable=False)


checkpoints = Table(
    "checkpoints",
    read_models,
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    # Updates of the offsets below are on task-updates; those from here to next_offset may be missing.
    Column("emitted_offset", BigInteger, nullable=False),
    # Only a projector of this generation may move the offset: after a swap, that is the new one.
    Column("generation", Integer, nullable=False),
)
"""The folded offsets of each partition of the log, in the tables of this schema."""

read_model_versions = Table(
    "read_model_versions",
    read_models,
    Column("read_model", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    # For each partition, the offset from which on its rows were made from the log. The rows before, or all of
    # them if null, were copied from the generation that was live.
    Column("loaded_from", ARRAY(BigInteger)),
)
"""The read models in the tables of this schema: of which code they are, and where their rows come from."""

load_progress = Table(
    "load_progress",
    loading,
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("finished", Boolean, nullable=False),
    # If rows were copied from the live generation: its checkpoint then, where the load ends, and the offsets
    # of the records that it had parked.
    Column("until", BigInteger),
    Column("parked", ARRAY(BigInteger)),
)
"""The progress of a generation that is loaded in bulk; see `projections.rebuild.load_progress`."""

generations = Table(
    "generations",
    control,
    Column("number", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    time_column("created_at"),
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
    time_column("seen_at"),
    Column("ready", Boolean, nullable=False),
    Column("partitions", ARRAY(Integer), nullable=False),
    Column("figures", JSON, nullable=False),
)
"""The last report of each worker."""

tree_heads = Table(
    "tree_heads",
    control,
    Column("size", BigInteger, primary_key=True),
    # That of the record in the topic that this row was last written from.
    Column("offset", BigInteger, nullable=False, unique=True),
    Column("note", Text, nullable=False),
)
"""The tree heads of their topic, by the number of records; `note` is the signed note."""

tree_head_keys = Table(
    "tree_head_keys",
    control,
    Column("key", Text, primary_key=True),
    time_column("since"),
)
"""The public keys that verify tree heads, each with the time from which it signs."""

FRESH_S = 5.0
"""The time for which a worker's report is valid; there is one every second."""

database_roles = Table(
    "database_roles",
    control,
    Column("name", Text, primary_key=True),
    # `read`: all tables; `query`: only the views for auditors.
    Column("may", Text, nullable=False),
)
"""The roles of PostgreSQL, besides the owner of the tables, that have rights in each generation."""

log_identity = Table(
    "log_identity",
    control,
    Column("topic", Text, primary_key=True),
    Column("cluster_id", Text, nullable=False),
    Column("partitions", Integer, nullable=False),
)
"""The log that the read models were built from."""
