"""A benchmark of two workers that project a backlog, compared with one. It also prints the bytes of an event.

Run it with `python -m benchmarks workers`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

from app.log.records import Record
from app.settings import Settings
from benchmarks import incidents
from benchmarks.backlog import Progress, append_all, settings_of
from benchmarks.machine import cpu_s, measured
from benchmarks.parts import Parts, real_parts
from benchmarks.projecting import traces_of
from benchmarks.tables import table
from benchmarks.worker_processes import started_worker
from streams.migrate import migrate

TARGET = 1.7
EVENT_BYTES, UPDATE_BYTES = 150, 400


class Projected(NamedTuple):
    """The seconds in which workers projected the backlog, and the processor time of all processes."""

    took_s: float
    cpu_s: float
    event_bytes: float
    update_bytes: float


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks workers", description=__doc__)
    parser.add_argument("--events", type=int, default=incidents.EVENTS, help="Size of the backlog.")
    parser.add_argument("--runs", type=int, default=3, help="Pairs of runs.")
    options = parser.parse_args(arguments)
    records = incidents.records(traces_of(options.events))
    pairs: list[tuple[Projected, Projected]] = []
    with measured(f"Projecting a backlog of {len(records):,} events with two workers, and with one"):
        for _ in range(options.runs):
            pairs.append((_run(records, 1), _run(records, 2)))
            one, two = pairs[-1]
            print(f"two workers: {one.took_s / two.took_s:.2f} x the rate of one", flush=True)
        _print(len(records), pairs)


def _run(records: Sequence[Record], workers: int) -> Projected:
    with real_parts() as parts, ExitStack() as stack:
        settings = settings_of(parts)
        asyncio.run(migrate(settings))
        pids = [stack.enter_context(started_worker(parts, slot)) for slot in range(workers)]
        # Paused, so that both begin with the whole backlog. Kafka keeps their partitions for ten seconds.
        measured_pids = [*pids, parts.database_pid, parts.broker_pid]
        _pause(pids)
        asyncio.run(append_all(settings, records))
        before_s = sum(map(cpu_s, measured_pids))
        started_s = time.time()
        _resume(pids)
        done_s = asyncio.run(_until_projected(settings))
        spent_s = sum(map(cpu_s, measured_pids)) - before_s
        event_bytes = _bytes_of(parts, settings.events_topic) / len(records)
        update_bytes = _bytes_of(parts, settings.updates_topic) / len(records)
        return Projected(done_s - started_s, spent_s, event_bytes, update_bytes)


def _pause(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def _resume(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


async def _until_projected(settings: Settings) -> float:
    async with Progress(settings) as progress:
        return await progress.until_projected()


def _bytes_of(parts: Parts, topic: str) -> int:
    """Return the bytes of a topic's segments on disk, without their indexes."""
    return sum(file.stat().st_size for file in parts.folder.glob(f"kafka/**/{topic}-*/*.log"))


def _print(events: int, pairs: Sequence[tuple[Projected, Projected]]) -> None:
    rows = [
        (
            f"{number} worker{'s' * (number > 1)}",
            f"{events / median(run.took_s for run in runs):,.0f}",
            f"{median(run.cpu_s for run in runs) / events * 1e6:.0f}",
        )
        for number, runs in enumerate(zip(*pairs, strict=True), start=1)
    ]
    print(table(("what", "events/s", "µs of processor time, all processes"), rows))
    ratio = median(one.took_s / two.took_s for one, two in pairs)
    print(f"\ntwo workers: {ratio:.2f} x; target {TARGET}: {'reached' if ratio >= TARGET else 'MISSED'}")
    one, _ = pairs[-1]
    print(f"bytes of an event on the log {one.event_bytes:.0f} (target {EVENT_BYTES}), ", end="")
    print(f"of an update {one.update_bytes:.0f} (target {UPDATE_BYTES})")
