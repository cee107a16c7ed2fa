"""The identity of the log that the read models follow, in a control table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import WrongLog
from projections.postgres.database import Database
from projections.read_models.audit import MOST_PARTITIONS, MOST_RECORDS


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The log that read models follow: its topic, its Kafka cluster's id, its number of partitions."""

    topic: str
    cluster_id: str
    partitions: int


async def known_log(database: Database, topic: str) -> LogIdentity | None:
    """Return the log that the read models follow, or None if they follow none of this name."""
    row = await database.pool.fetchrow(
        f'SELECT topic, cluster_id, partitions FROM "{database.control_schema}".log_identity '  # noqa: S608
        "WHERE topic = $1",
        topic,
    )
    return None if row is None else LogIdentity(*row.values())


def check_same(known: LogIdentity, found: LogIdentity) -> None:
    """Compare a log with the one that the read models were built from. Raise `WrongLog`."""
    if known.cluster_id != found.cluster_id:
        raise WrongLog(
            f"this database follows {known.topic} of Kafka cluster {known.cluster_id}, "
            f"but the brokers belong to cluster {found.cluster_id}"
        )
    if known.partitions != found.partitions:
        raise WrongLog(
            f"this database follows {known.topic} with {known.partitions} partitions, "
            f"but the topic has {found.partitions}"
        )


def check_size(topic: str, ends: Mapping[int, int]) -> None:
    """Check that the read models can number the records of a log with these ends. Raise `WrongLog`."""
    if len(ends) > MOST_PARTITIONS:
        raise WrongLog(f"{topic} has {len(ends):,} partitions; read models have at most {MOST_PARTITIONS:,}")
    for partition, end in ends.items():
        if end > MOST_RECORDS:
            raise WrongLog(
                f"partition {partition} of {topic} ends at offset {end:,}; "
                f"read models have at most {MOST_RECORDS:,} records of a partition"
            )
