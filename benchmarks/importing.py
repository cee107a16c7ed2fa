"""How fast does `tasktape import` take a real incident log in, from the file to the last read model?

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
from typing import Any

from app.settings import Settings
from benchmarks import incidents, peer_eventsourcing, peer_faust
from benchmarks.backlog import Counts, Progress
from benchmarks.instance import Instance, running_instance
from benchmarks.machine import measured
from benchmarks.tables import table

TARGET_PER_S = 4_000
DEFAULT_FILE = Path(__file__).parents[2] / "shared" / "data" / "bpic2013_incidents.xes.gz"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import took, from its process's start until all was visible, and what is there after it."""

    said: dict[str, Any]
    seconds: float
    cpu_s: dict[str, float]
    counts: Counts

    @property
    def per_s(self) -> float:
        """Events per second."""
        return float(self.said["events"]) / self.seconds


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks importing", description=__doc__)
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help="An XES file.")
    parser.add_argument("--runs", type=int, default=3, help="Imports, each into an empty instance.")
    parser.add_argument("--peer-events", type=int, default=8_000, help="Events that the peers are given.")
    options = parser.parse_args(arguments)
    with measured("Importing an incident log, from the file to the last read model"):
        runs: list[Imported] = []
        for run in range(options.runs):
            with running_instance() as instance:
                runs.append(_import_twice(instance, _file(options.file, instance)))
                if run == options.runs - 1:
                    settings = _settings(instance)
                    events = min(options.peer_events, runs[-1].counts.records)
                    faust = peer_faust.run(instance.parts(), settings, events)
                    peers = peer_eventsourcing.run(instance.parts(), events)
        _print(runs, faust, peers)


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
    """What is there; projected to the end, as the import said."""
    async with Progress(_settings(instance)) as progress:
        await progress.until_projected()
        return await progress.counts()


def _print(runs: Sequence[Imported], faust: peer_faust.Measured, peers: peer_eventsourcing.Measured) -> None:
    middle = sorted(runs, key=lambda run: run.per_s)[len(runs) // 2]
    rows = [
        ("tasktape import, file to all projected", middle.said["events"], middle.per_s),
        ("plain Faust agent: projecting alone", faust.events, faust.per_s),
        ("eventsourcing 9.5 on PostgreSQL: appending, then projecting", peers.events, peers.both_per_s),
    ]
    lines = [
        (what, f"{events:,}", f"{per_s:,.0f}", f"{middle.per_s / per_s:.1f} x")
        for what, events, per_s in rows
    ]
    print(table(("what", "events", "events/s", "Tasktape is"), lines))
    each = ", ".join(f"{run.per_s:,.0f}" for run in runs)
    print(f"\nruns: {each} events/s (the middle one counts); target {TARGET_PER_S:,}: ", end="")
    print("reached" if middle.per_s >= TARGET_PER_S else "MISSED")
