"""A benchmark of a rebuild of all read models, compared with copying the raw records of the log.

Run it with `python -m benchmarks rebuilding`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.settings import Settings
from benchmarks import incidents, raw_copy
from benchmarks.backlog import settings_of, write_backlog
from benchmarks.machine import cpu_s, measured
from benchmarks.parts import Parts, real_parts
from benchmarks.tables import table
from projections.generations.opening import open_database
from streams.migrate import migrate
from streams.rebuilding import drop_retired, rebuild_all


class Rebuilt(NamedTuple):
    """The seconds of a rebuild and of a copy of the raw records, and the processor time of the rebuild."""

    events: int
    rebuild_s: float
    raw_s: float
    cpu_s: dict[str, float]

    @property
    def per_s(self) -> float:
        """Return the events per second."""
        return self.events / self.rebuild_s


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks rebuilding", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[65_533, 655_330], help="Sizes of the log.")
    options = parser.parse_args(arguments)
    with measured("Rebuilding all read models, with a process for each core"):
        runs = [_run(events) for events in options.events]
        _print(runs)


def _run(events: int) -> Rebuilt:
    records = incidents.records(
        incidents.traces(max(2, round(events * incidents.TASKS / incidents.EVENTS)), events)
    )
    with real_parts() as parts:
        settings = settings_of(parts)
        asyncio.run(write_backlog(settings, records))
        asyncio.run(_make_live(settings))
        raw_s = _timed(lambda: _copy_raw(parts, settings))
        before = _cpu_s(parts)
        rebuild_s = _timed(lambda: _rebuild(settings))
        after = _cpu_s(parts)
    cpu = {who: after[who] - before[who] for who in after}
    print(
        f"{len(records):,} events: rebuilt in {rebuild_s:.1f} s, copied in {raw_s:.1f} s; processor time:",
        end=" ",
    )
    print(", ".join(f"{who} {spent_s:.1f} s" for who, spent_s in cpu.items()), flush=True)
    return Rebuilt(len(records), rebuild_s, raw_s, cpu)


async def _make_live(settings: Settings) -> None:
    """Fill a first generation up to the end of the log."""
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    await database.pool.execute(f'UPDATE "{settings.schema_name}".generations SET version = 0')
    await database.pool.execute("UPDATE read_model_versions SET fingerprint = ''")
    await database.close()
    await migrate(settings)
    await drop_retired(settings)


def _timed(action: Callable[[], None]) -> float:
    started_s = time.monotonic()
    action()
    return time.monotonic() - started_s


def _rebuild(settings: Settings) -> None:
    asyncio.run(rebuild_all(settings))


def _copy_raw(parts: Parts, settings: Settings) -> None:
    asyncio.run(raw_copy.create(settings.database_url))
    shares = os.cpu_count() or 1
    command = (
        sys.executable,
        "-m",
        "benchmarks.raw_copy",
        parts.brokers,
        parts.database_url,
        settings.events_topic,
    )
    running = [
        subprocess.Popen([*command, *map(str, range(share, settings.partitions, shares))])
        for share in range(shares)
    ]
    if any(process.wait() for process in running):
        raise SystemExit("the raw records were not copied")


def _cpu_s(parts: Parts) -> dict[str, float]:
    return {
        "processes": cpu_s(os.getpid(), alone=True) + os.times().children_user + os.times().children_system,
        "database": cpu_s(parts.database_pid),
        "broker": cpu_s(parts.broker_pid),
    }


def _print(runs: Sequence[Rebuilt]) -> None:
    rows = [
        (
            f"{run.events:,} events",
            f"{run.per_s:,.0f}",
            f"{run.events / run.raw_s:,.0f}",
            f"{run.raw_s / run.rebuild_s:.0%}",
        )
        for run in runs
    ]
    print(table(("log", "rebuilt events/s", "raw events/s", "of raw"), rows))
    if len(runs) > 1:
        growth = runs[-1].rebuild_s / runs[0].rebuild_s
        print(f"\n{runs[-1].events / runs[0].events:.0f} times the events took {growth:.1f} times as long")
