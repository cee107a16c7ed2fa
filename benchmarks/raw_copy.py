"""The least that a rebuild could do: consume partitions of the log and `COPY` their raw bytes into a table.

Run as a process: `python -m benchmarks.raw_copy BROKERS DATABASE TOPIC PARTITION…`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from projections.postgres.database import asyncpg_dsn

COLUMNS = ("partition", "offset", "key", "value", "headers")
BATCH = 5_000
TABLE = (
    'CREATE TABLE IF NOT EXISTS raw_records (partition int, "offset" bigint, '
    "key bytea, value bytea, headers bytea); TRUNCATE raw_records"
)


async def copy(brokers: str, database_url: str, topic: str, partitions: Sequence[int]) -> None:
    """Copy every record of these partitions."""
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    await connection.execute("SET synchronous_commit = off")
    where = [TopicPartition(topic, partition) for partition in partitions]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers, group_id=None, max_partition_fetch_bytes=4 * 1_048_576
    )
    await consumer.start()
    consumer.assign(where)
    for place in where:
        # At once, because a search for the beginning may be overtaken by the consumer's own for the end.
        consumer.seek(place, 0)
    left = sum((await consumer.end_offsets(where)).values())
    rows: list[tuple[object, ...]] = []
    while left:
        for found in (await consumer.getmany(timeout_ms=500, max_records=BATCH)).values():
            left -= len(found)
            rows += [(r.partition, r.offset, r.key, r.value, repr(r.headers).encode()) for r in found]
        if len(rows) >= BATCH or not left:
            await connection.copy_records_to_table("raw_records", records=rows, columns=COLUMNS)
            rows = []
    await consumer.stop()
    await connection.close()


async def create(database_url: str) -> None:
    """Create the table, empty."""
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    await connection.execute(TABLE)
    await connection.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        brokers, database_url, topic, *partitions = sys.argv[1:]
        runner.run(copy(brokers, database_url, topic, [int(each) for each in partitions]))
