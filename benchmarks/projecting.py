"""How fast does one worker project a backlog, with updates emitted? And others of the same kind?

Run it with `python -m benchmarks projecting`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from app.records import Record
from app.settings import Settings
from benchmarks import incidents, peer_eventsourcing, peer_faust
from benchmarks.backlog import Counts, Progress, environment_of, settings_of, write_backlog
from benchmarks.machine import cpu_s, measured
from benchmarks.parts import Parts, real_parts
from benchmarks.tables import table
from tasktape.importers.xes import XesTrace

TARGET_PER_S = 8_000
STOP_LIMIT_S = 15.0


class Projecting(NamedTuple):
    """Seconds of one worker's run: from its process's start, and from when it had its partitions."""

    events: int
    from_start_s: float
    from_assigned_s: float
    counts: Counts
    cpu_s: Mapping[str, float]

    @property
    def per_s(self) -> float:
        """Events per second from when it had its partitions."""
        return self.events / self.from_assigned_s


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks projecting", description=__doc__)
    parser.add_argument("--events", type=int, default=incidents.EVENTS, help="Size of the backlog.")
    parser.add_argument("--runs", type=int, default=3, help="Runs of the worker, each on parts of its own.")
    parser.add_argument("--peer-events", type=int, default=8_000, help="Events that the peers are given.")
    options = parser.parse_args(arguments)
    records = incidents.records(_traces(options.events))
    with measured(f"Projecting a backlog of {len(records):,} events with one worker, updates emitted"):
        runs = []
        for run in range(options.runs):
            with real_parts() as parts:
                runs.append(_one_run(parts, records))
                if run == options.runs - 1:
                    faust = peer_faust.run(parts, settings_of(parts), min(options.peer_events, len(records)))
                    peers = peer_eventsourcing.run(parts, options.peer_events)
        _print(runs, faust, peers)


def _one_run(parts: Parts, records: Sequence[Record]) -> Projecting:
    settings = settings_of(parts)
    took_s = asyncio.run(write_backlog(settings, records))
    print(f"backlog written at {len(records) / took_s:,.0f} events/s", flush=True)
    projecting = _project(parts, settings, len(records))
    counts = projecting.counts
    cpu = ", ".join(f"{who} {cpu_s:.1f} s" for who, cpu_s in projecting.cpu_s.items())
    again = counts.updates - counts.records
    print(f"projected at {projecting.per_s:,.0f} events/s; processor time: {cpu};", end=" ")
    print(f"{again:,} updates written twice", flush=True)
    if not counts.records == counts.audited <= counts.updates:
        raise SystemExit(f"the counts differ: {counts}")
    return projecting


def _project(parts: Parts, settings: Settings, events: int) -> Projecting:
    before, started_s = _cpu_s(parts), time.time()
    with _worker(parts) as worker:
        done_s = asyncio.run(_until_projected(settings))
        after = _cpu_s(parts)
        cpu = {"worker": cpu_s(worker.pid)} | {who: after[who] - before[who] for who in after}
    assigned_s = Path(environment_of(parts)["TASKTAPE_READY_FILE"]).stat().st_mtime
    counts = asyncio.run(_counts(settings))
    return Projecting(events, done_s - started_s, done_s - assigned_s, counts, cpu)


@contextmanager
def _worker(parts: Parts) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tasktape", "worker"]
    with (parts.folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            command, env={**os.environ, **environment_of(parts)}, stdout=log, stderr=log
        )
    try:
        yield worker
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(STOP_LIMIT_S)


async def _until_projected(settings: Settings) -> float:
    async with Progress(settings) as progress:
        return await progress.until_projected()


async def _counts(settings: Settings) -> Counts:
    async with Progress(settings) as progress:
        return await progress.counts()


def _cpu_s(parts: Parts) -> dict[str, float]:
    return {"database": cpu_s(parts.database_pid), "broker": cpu_s(parts.broker_pid)}


def _print(
    runs: Sequence[Projecting], faust: peer_faust.Measured, peers: peer_eventsourcing.Measured
) -> None:
    ordered = sorted(runs, key=lambda run: run.from_assigned_s)
    middle = ordered[len(ordered) // 2]
    ours = middle.per_s
    rows = [
        ("Tasktape, one worker (from partitions assigned)", middle.events, ours),
        ("Tasktape, process start included", middle.events, middle.events / middle.from_start_s),
        ("plain Faust agent: a row and a topic.send per event", faust.events, faust.per_s),
        ("eventsourcing 9.5 on PostgreSQL: projecting", peers.events, peers.projecting_per_s),
        ("eventsourcing 9.5 on PostgreSQL: appending, then projecting", peers.events, peers.both_per_s),
    ]
    lines = [(what, f"{events:,}", f"{per_s:,.0f}", f"{ours / per_s:.1f} x") for what, events, per_s in rows]
    print(table(("what", "events", "events/s", "Tasktape is"), lines))
    each = ", ".join(f"{run.per_s:,.0f}" for run in runs)
    print(f"\nruns: {each} events/s (the middle one counts); target {TARGET_PER_S:,}: ", end="")
    print("reached" if ours >= TARGET_PER_S else "MISSED")


def _traces(events: int) -> list[XesTrace]:
    tasks = max(1, incidents.TASKS * events // incidents.EVENTS)
    return incidents.traces(tasks, events)
