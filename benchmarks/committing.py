"""The duration of the projector's transaction for a single record."""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.log.records import RawRecord, Record
from app.log.updates import Update
from app.settings import Settings
from benchmarks.backlog import write_backlog
from projections.generations.opening import open_database
from projections.projector import Projector
from streams.event_log import KafkaEventLog
from streams.worker import POOL_SIZE, SESSION


class Nowhere:
    """An update log that takes no time."""

    async def emit(self, updates: Sequence[Update]) -> None:
        """Do nothing."""


async def seconds_to_commit(settings: Settings, records: Sequence[Record]) -> list[float]:
    """Project records one by one, as an idle worker does, on topics and a schema made for it."""
    await write_backlog(settings, records)
    event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    await event_log.start()
    database = await open_database(
        settings.database_url,
        settings.schema_name,
        pool_size=POOL_SIZE,
        server_settings=SESSION,
    )
    try:
        raws = [raw async for batch in event_log.read(0, 0, (await event_log.ends())[0]) for raw in batch]
        projector = Projector(database, event_log.read, Nowhere())
        return [await _seconds(projector, raw) for raw in raws]
    finally:
        await database.close()
        await event_log.close()


async def _seconds(projector: Projector, raw: RawRecord) -> float:
    started_s = time.perf_counter()
    await projector.project({raw.position.partition: [raw]})
    return time.perf_counter() - started_s
