"""A benchmark of flushing each append to the disk before it is acknowledged.

It appends one record at a time, and 32 at the same time as from many users, on the embedded broker.

Run it with `python -m benchmarks flushing`.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from app.log.records import Record
from app.stream_ids import task_stream
from app.tasks.events import TaskCreated
from benchmarks.machine import measured
from benchmarks.tables import percentile, table
from streams.event_log import KafkaEventLog
from streams.topics import EACH, FLUSH, NEVER, TopicShape, ensure_topics, events_topic
from streams.worker import now
from tasktape.local.kafka import EmbeddedKafka

PARTITIONS = 4
TOGETHER = 32
WARM_UP = 100
MODES = {
    "left to the system": {FLUSH: NEVER, "flush.ms": NEVER},
    "each second (`tasktape up`)": {FLUSH: NEVER},
    "each append (`TASKTAPE_FLUSH=on`)": {FLUSH: EACH},
}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks flushing", description=__doc__)
    parser.add_argument(
        "--records", type=int, default=1_000, help="So many one by one, and as many together."
    )
    options = parser.parse_args(arguments)
    with (
        measured("Appending, with and without a flush before the acknowledgement"),
        tempfile.TemporaryDirectory() as folder,
    ):
        kafka = EmbeddedKafka(Path(folder))
        brokers = kafka.start()
        try:
            rows = asyncio.run(_measure(brokers, options.records))
        finally:
            kafka.stop()
        heads = (
            "flushed",
            "one by one: median ms",
            "p99 ms",
            "32 together: median ms",
            "p99 ms",
            "records/s",
        )
        print(table(heads, rows))


async def _measure(brokers: str, count: int) -> list[tuple[str, ...]]:
    rows = []
    for name, config in MODES.items():
        shape = _shape(f"flushing-{uuid4().hex[:8]}", config)
        await ensure_topics([brokers], [shape])
        log = KafkaEventLog([brokers], shape.name, PARTITIONS)
        await _one_by_one(log, WARM_UP)
        single = await _one_by_one(log, count)
        started_s = time.perf_counter()
        users = [_one_by_one(log, count // TOGETHER + 1) for _ in range(TOGETHER)]
        together = [seconds for each in await asyncio.gather(*users) for seconds in each]
        took_s = time.perf_counter() - started_s
        await log.close()
        figures = [1000 * percentile(times, percent) for times in (single, together) for percent in (50, 99)]
        rows.append((name, *(f"{figure:.1f}" for figure in figures), f"{len(together) / took_s:,.0f}"))
    return rows


def _shape(name: str, config: dict[str, str]) -> TopicShape:
    shape = events_topic(name, PARTITIONS, 1)
    return replace(shape, config={**shape.config, **config})


async def _one_by_one(log: KafkaEventLog, count: int) -> list[float]:
    times = []
    for _ in range(count):
        started_s = time.perf_counter()
        await log.append([_record()])
        times.append(time.perf_counter() - started_s)
    return times


def _record() -> Record:
    created = TaskCreated("a list", "Buy milk", notes="What one would write about it. " * 5)
    return Record(str(uuid4()), task_stream(str(uuid4())), 1, now(), "alice", "/tasktape/benchmarks", created)
