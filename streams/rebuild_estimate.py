"""The estimate of a rebuild: its events, its time and its space, without changing anything."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from app.errors import Unavailable
from app.log.fold import Fold, decoded
from app.settings import Settings
from projections.generations.opening import open_database
from projections.postgres import checkpoints
from projections.postgres.database import DATABASE_UNAVAILABLE
from projections.queries.table_sizes import live_bytes
from projections.read_models.projected import project
from projections.rebuild.part import Part
from streams.event_log import KafkaEventLog

SAMPLE = 5_000
WRITING = 3.0
"""The time of a rebuild for each second of folding, as measured; the database takes most of it."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The number of events, the seconds it takes, and the bytes of the new tables beside the live ones."""

    events: int
    seconds: float
    bytes: int


async def estimate(settings: Settings, per_s: float | None, part: Part | None = None) -> Estimate:
    """Estimate a rebuild, or that of a part, from the live tables and the time of folding some records.

    Raise `Unavailable`.
    """
    event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    live = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    try:
        await event_log.start()
        found = await checkpoints.read(live.pool, range(settings.partitions))
        ends = {partition: checkpoint.next_offset for partition, checkpoint in found.items()}
        events = sum(ends.values())
        cores = min(os.cpu_count() or 1, sum(end > 0 for end in ends.values()) or 1)
        bytes_ = await live_bytes(live)
        share = 1.0 if part is None else await live_bytes(live, part.names) / bytes_
        seconds = events * await _fold_s(event_log, ends) * (1 + (WRITING - 1) * share) / cores
        if per_s is not None:
            seconds = max(seconds, events / per_s)
        return Estimate(events, seconds, bytes_)
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    finally:
        await event_log.close()
        await live.close()


async def _fold_s(event_log: KafkaEventLog, ends: dict[int, int]) -> float:
    """Return the seconds in which one record is folded, on the average of some."""
    partition = max(ends, key=lambda each: ends[each])
    fold, records, folding_s = Fold(), 0, 0.0
    async for raws in event_log.read(partition, 0, min(ends[partition], SAMPLE)):
        started_s = time.perf_counter()
        for raw in raws:
            project(fold.apply(raw, decoded(raw)), tells=False)
        folding_s += time.perf_counter() - started_s
        records += len(raws)
    return folding_s / max(1, records)
