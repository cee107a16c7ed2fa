"""A log with a backlog on real parts: written in bulk, with the progress of projecting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.log.records import Record
from app.settings import Settings
from benchmarks.parts import Parts
from projections.generations.opening import live_generation
from projections.postgres.database import asyncpg_dsn
from streams.event_log import KafkaEventLog
from streams.migrate import migrate

APPEND_AT_ONCE = 2_000
POLL_S = 0.02
LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of records in the log, in the read models and in the updates."""

    records: int
    tasks: int
    audited: int
    updates: int


def settings_of(parts: Parts) -> Settings:
    """Return settings with topics and a schema for benchmarks."""
    return Settings.from_environment(environment_of(parts))


def environment_of(parts: Parts) -> dict[str, str]:
    """Return the same settings as environment variables."""
    return {
        "KAFKA_BROKERS": parts.brokers,
        "DATABASE_URL": parts.database_url,
        "TASKTAPE_EVENTS_TOPIC": "bench-events",
        "TASKTAPE_UPDATES_TOPIC": "bench-updates",
        "TASKTAPE_SCHEMA": "bench",
    }


async def write_backlog(settings: Settings, records: Sequence[Record]) -> float:
    """Create topics and tables and append all records; return the seconds of appending."""
    await migrate(settings)
    return await append_all(settings, records)


async def append_all(settings: Settings, records: Sequence[Record]) -> float:
    """Append all records to the log, which exists; return the seconds of appending."""
    event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    await event_log.start()
    started_s = time.monotonic()
    for first in range(0, len(records), APPEND_AT_ONCE):
        await event_log.append(records[first : first + APPEND_AT_ONCE])
    took_s = time.monotonic() - started_s
    await event_log.close()
    return took_s


class Progress:
    """A cheap observer of the broker and the database, to be opened as a context."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Self:
        settings = self._settings
        dsn = asyncpg_dsn(settings.database_url)
        schema = (await live_generation(dsn, settings.schema_name)).schema
        self._database = await asyncpg.connect(dsn, server_settings={"search_path": schema})
        self._consumer = AIOKafkaConsumer(bootstrap_servers=list(settings.kafka_brokers), group_id=None)
        await self._consumer.start()
        self._ends = await self.ends(settings.events_topic)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._database.close()

    async def until_projected(self) -> float:
        """Wait until every record is projected and its update is out; return the time (`time.time`).

        Raise `TimeoutError`.
        """
        wanted = sum(self._ends.values())
        async with asyncio.timeout(LIMIT_S):
            while True:
                rows = await self._database.fetch("SELECT partition, next_offset FROM checkpoints")
                if {row["partition"]: row["next_offset"] for row in rows} == dict(self._ends):
                    updates = await self.ends(self._settings.updates_topic)
                    if sum(updates.values()) >= wanted:
                        return time.time()
                await asyncio.sleep(POLL_S)

    async def counts(self) -> Counts:
        """Return the current numbers."""
        tasks, audited = await self._database.fetchrow(
            "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM audit WHERE outcome = 'accepted')"
        ) or (0, 0)
        updates = await self.ends(self._settings.updates_topic)
        return Counts(sum(self._ends.values()), tasks, audited, sum(updates.values()))

    async def ends(self, topic: str) -> Mapping[int, int]:
        """Return the end of each partition."""
        where = [TopicPartition(topic, partition) for partition in range(self._settings.partitions)]
        ends = await self._consumer.end_offsets(where)
        return {place.partition: offset for place, offset in ends.items()}
