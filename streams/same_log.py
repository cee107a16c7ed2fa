"""The check at the start of a process that the log is the one that the read models follow."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import Unavailable, WrongLog
from projections.generations.log_identity import LogIdentity, check_same, check_size, known_log
from projections.postgres.database import DATABASE_UNAVAILABLE, Database
from streams.event_log import KafkaEventLog
from streams.log_damage import describe, find_damage
from streams.topics import cluster_id


async def check_same_log(
    brokers: Sequence[str], topic: str, event_log: KafkaEventLog, database: Database
) -> None:
    """Raise `WrongLog` for another cluster's log, another number of partitions, or one that lost records.

    A log in which other records were written at the lost ones' offsets has lost records too. Raise
    `Unavailable` if Kafka or the database is unavailable.
    """
    found = LogIdentity(topic, await cluster_id(brokers), event_log.partitions)
    try:
        known = await known_log(database, topic)
        if known is None:
            raise WrongLog(f"the read models do not follow {topic}; run `tasktape migrate`")
        check_same(known, found)
        check_size(topic, await event_log.ends())
        damages = await find_damage(event_log, database)
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    if damages:
        raise WrongLog(
            f"{describe(damages, topic)}; stop everything and run `tasktape doctor --repair`, "
            "or bring the log back from a backup"
        )
