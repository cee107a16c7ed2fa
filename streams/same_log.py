"""The check that a process makes before it works: is this the log that the read models follow?"""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import Unavailable, WrongLog
from projections.database import AWAY, Database
from projections.generations import LogIdentity, check_same, known_log
from streams.event_log import KafkaEventLog
from streams.topics import cluster_id


async def check_same_log(
    brokers: Sequence[str], topic: str, event_log: KafkaEventLog, database: Database
) -> None:
    """Raises `WrongLog` for another cluster's log, another number of partitions, or one that lost records.

    Raises `Unavailable` if Kafka or the database is away.
    """
    found = LogIdentity(topic, await cluster_id(brokers), event_log.partitions)
    ends = await event_log.ends()
    try:
        known = await known_log(database, topic)
        rows = await database.pool.fetch("SELECT partition, next_offset FROM checkpoints")
    except AWAY as error:
        raise Unavailable(f"the database can't be reached: {error}") from error
    if known is None:
        raise WrongLog(f"the read models do not follow {topic}; run `tasktape migrate`")
    check_same(known, found)
    for row in rows:
        if row["next_offset"] > ends[row["partition"]]:
            raise WrongLog(
                f"the read models know {row['next_offset']} records of partition {row['partition']}, "
                f"but {topic} has {ends[row['partition']]}: it lost records, or it is another log"
            )
