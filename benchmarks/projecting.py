"""A benchmark of one worker that projects a backlog and emits updates, compared with similar programs.

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
from statistics import median
from typing import NamedTuple

from app.log.records import Record
from app.settings import Settings
from benchmarks import incidents, peer_eventsourcing, peer_faust
from benchmarks.backlog import Counts, Progress, environment_of, settings_of, write_backlog
from benchmarks.machine import cpu_s, measured
from benchmarks.parts import Parts, real_parts
from benchmarks.tables import ratios, table
from tasktape.importers.xes import XesTrace

TARGET_PER_S = 8_000
STOP_LIMIT_S = 15.0
ASSIGNMENT_LIMIT_S = 60.0
POLL_S = 0.02
WORKER = ("-m", "tasktape", "worker")


class Projecting(NamedTuple):
    """The seconds of one worker's run: from the start of its process, and from its assignment."""

    events: int
    from_start_s: float
    from_assigned_s: float
    counts: Counts
    cpu_s: Mapping[str, float]

    @property
    def per_s(self) -> float:
        """Return events per second from the assignment of the partitions."""
        return self.events / self.from_assigned_s


class Run(NamedTuple):
    """The measurements on the same parts, one after the other."""

    ours: Projecting
    faust: peer_faust.Measured
    library: peer_eventsourcing.Measured


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks projecting", description=__doc__)
    parser.add_argument("--events", type=int, default=incidents.EVENTS, help="Size of the backlog.")
    parser.add_argument("--runs", type=int, default=3, help="Runs of the worker, each on parts of its own.")
    parser.add_argument("--peer-events", type=int, default=5_000, help="Events that the peers are given.")
    options = parser.parse_args(arguments)
    records = incidents.records(traces_of(options.events))
    given = min(options.peer_events, len(records))
    with measured(f"Projecting a backlog of {len(records):,} events with one worker, updates emitted"):
        runs: list[Run] = []
        for _ in range(options.runs):
            with real_parts() as parts:
                ours = _one_run(parts, records)
                faust = peer_faust.run(parts, settings_of(parts), given)
                runs.append(Run(ours, faust, peer_eventsourcing.run(parts, given)))
        _print(runs)


def _one_run(parts: Parts, records: Sequence[Record]) -> Projecting:
    settings = settings_of(parts)
    took_s = asyncio.run(write_backlog(settings, records))
    print(f"backlog written at {len(records) / took_s:,.0f} events/s", flush=True)
    projecting = project(parts, settings, len(records))
    counts = projecting.counts
    cpu = ", ".join(f"{who} {cpu_s:.1f} s" for who, cpu_s in projecting.cpu_s.items())
    again = counts.updates - counts.records
    print(f"projected at {projecting.per_s:,.0f} events/s; processor time: {cpu};", end=" ")
    print(f"{again:,} updates written twice", flush=True)
    if not counts.records == counts.audited <= counts.updates:
        raise SystemExit(f"the counts differ: {counts}")
    return projecting


def project(parts: Parts, settings: Settings, events: int, command: Sequence[str] = WORKER) -> Projecting:
    """Run a worker on the backlog, and return its measurements; `command` are arguments of Python."""
    before, started_s = _cpu_s(parts), time.time()
    with _worker(parts, command) as worker:
        assigned_s = _await_assignment(parts.folder / "worker.log")
        done_s = asyncio.run(_until_projected(settings))
        after = _cpu_s(parts)
        cpu = {"worker": cpu_s(worker.pid)} | {who: after[who] - before[who] for who in after}
    counts = asyncio.run(_counts(settings))
    return Projecting(events, done_s - started_s, done_s - assigned_s, counts, cpu)


def _await_assignment(log: Path) -> float:
    """Wait until the worker reports its partitions; return the time (`time.time`)."""
    deadline_s = time.monotonic() + ASSIGNMENT_LIMIT_S
    while "partitions assigned" not in log.read_text():
        if time.monotonic() > deadline_s:
            raise SystemExit("the worker got no partitions")
        time.sleep(POLL_S)
    return time.time()


@contextmanager
def _worker(parts: Parts, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, *arguments]
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


def _print(runs: Sequence[Run]) -> None:
    ours = [run.ours.per_s for run in runs]
    started = [run.ours.events / run.ours.from_start_s for run in runs]
    events, given = runs[0].ours.events, runs[0].faust.events
    library = "eventsourcing 9.5 on PostgreSQL"
    rows = [
        ratios("Tasktape, one worker (from partitions assigned)", events, ours, ours),
        ratios("Tasktape, process start included", events, started, ours),
        ratios("plain Faust agent", given, [run.faust.per_s for run in runs], ours),
        ratios(f"{library}: projecting", given, [run.library.projecting_per_s for run in runs], ours),
        ratios(f"{library}: appending, projecting", given, [run.library.both_per_s for run in runs], ours),
    ]
    print(table(("what", "events", "events/s", "Tasktape is"), rows))
    reached = "reached" if median(ours) >= TARGET_PER_S else "MISSED"
    print(f"\nmiddle of {len(runs)} runs; target {TARGET_PER_S:,} events/s: {reached}")


def traces_of(events: int) -> list[XesTrace]:
    """Return traces of so many events."""
    tasks = max(1, incidents.TASKS * events // incidents.EVENTS)
    return incidents.traces(tasks, events)
