"""A benchmark of `tasktape import` with a real incident log, from the file to the last read model.

Run it with `python -m benchmarks importing --file ../shared/data/bpic2013_incidents.xes.gz`.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from app.settings import Settings
from benchmarks import incidents, peer_eventsourcing, peer_faust
from benchmarks.backlog import Counts, Progress
from benchmarks.instance import Instance, running_instance
from benchmarks.machine import measured
from benchmarks.tables import ratios, table

TARGET_PER_S = 4_000
DEFAULT_FILE = Path(__file__).parents[2] / "shared" / "data" / "bpic2013_incidents.xes.gz"


@dataclass(frozen=True, slots=True)
class Imported:
    """The duration of an import until all was visible, and the numbers of its records."""

    said: dict[str, Any]
    seconds: float
    cpu_s: dict[str, float]
    counts: Counts

    @property
    def per_s(self) -> float:
        """Return events per second."""
        return float(self.said["events"]) / self.seconds


class Run(NamedTuple):
    """The measurements on the same parts, one after the other."""

    ours: Imported
    faust: peer_faust.Measured
    library: peer_eventsourcing.Measured


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks importing", description=__doc__)
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help="An XES file.")
    parser.add_argument("--runs", type=int, default=3, help="Imports, each into an empty instance.")
    parser.add_argument("--peer-events", type=int, default=5_000, help="Events that the peers are given.")
    options = parser.parse_args(arguments)
    with measured("Importing an incident log, from the file to the last read model"):
        runs: list[Run] = []
        for _ in range(options.runs):
            with running_instance() as instance:
                ours = _import_twice(instance, _file(options.file, instance))
                given = min(options.peer_events, ours.counts.records)
                faust = peer_faust.run(instance.parts(), _settings(instance), given)
                runs.append(Run(ours, faust, peer_eventsourcing.run(instance.parts(), given)))
        _print(runs)


def _file(chosen: Path, instance: Instance) -> Path:
    if chosen.exists():
        print(f"file: {chosen.name}, {chosen.stat().st_size / 2**20:.1f} MiB", flush=True)
        return chosen
    made = instance.data.root / "incidents.xes.gz"
    incidents.write_xes(made, incidents.traces())
    print(f"file: made up, since there is no {chosen}", flush=True)
    return made


def _import_twice(instance: Instance, file: Path) -> Imported:
    before = instance.cpu_s() | {"the command": _children_cpu_s()}
    started_s = time.monotonic()
    said = instance.run("import", str(file))
    seconds = time.monotonic() - started_s
    after = instance.cpu_s() | {"the command": _children_cpu_s()}
    counts = asyncio.run(_counts(instance))
    again = instance.run("import", str(file))
    if said["added"] != said["events"] or counts.tasks != said["tasks"] or again["added"] != 0:
        raise SystemExit(f"the counts differ: {said} {counts} {again}")
    cpu = {name: after[name] - before[name] for name in after}
    imported = Imported(said, seconds, cpu, counts)
    spent = ", ".join(f"{name} {value:.1f} s" for name, value in cpu.items())
    print(f"imported at {imported.per_s:,.0f} events/s; processor time: {spent};", end=" ")
    print(f"again: {again['seconds']:.1f} s, nothing added", flush=True)
    return imported


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _settings(instance: Instance) -> Settings:
    parts = instance.parts()
    return Settings.from_environment({"KAFKA_BROKERS": parts.brokers, "DATABASE_URL": parts.database_url})


async def _counts(instance: Instance) -> Counts:
    """Return the numbers of records, projected to the end that the import reported."""
    async with Progress(_settings(instance)) as progress:
        await progress.until_projected()
        return await progress.counts()


def _print(runs: Sequence[Run]) -> None:
    ours = [run.ours.per_s for run in runs]
    events, given = runs[0].ours.said["events"], runs[0].faust.events
    peers = [run.library.both_per_s for run in runs]
    rows = [
        ratios("tasktape import, file to all projected", events, ours, ours),
        ratios("plain Faust agent: projecting alone", given, [run.faust.per_s for run in runs], ours),
        ratios("eventsourcing 9.5 on PostgreSQL: appending, projecting", given, peers, ours),
    ]
    print(table(("what", "events", "events/s", "Tasktape is"), rows))
    reached = "reached" if median(ours) >= TARGET_PER_S else "MISSED"
    print(f"\nmiddle of {len(runs)} runs; target {TARGET_PER_S:,} events/s: {reached}")
