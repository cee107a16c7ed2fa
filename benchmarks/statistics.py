"""A benchmark of what the read model of statistics adds to projecting: runs with it and without it, in turn.

Run it with `python -m benchmarks statistics`. It also measures a request for the statistics of the list.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from statistics import median

from app.log.records import Record
from benchmarks import incidents
from benchmarks.backlog import settings_of, write_backlog
from benchmarks.machine import measured
from benchmarks.parts import real_parts
from benchmarks.projecting import Projecting, project, traces_of
from benchmarks.tables import table
from projections.generations.opening import open_database
from projections.queries.statistics import StatisticsQueries, Wanted
from projections.read_models import statistics

TARGET = 1.10
WITHOUT = ("-c", "from benchmarks.statistics import run_without; run_without()")
WITH = ("-m", "tasktape", "worker")
READS = 20


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks statistics", description=__doc__)
    parser.add_argument("--events", type=int, default=incidents.EVENTS, help="Size of the backlog.")
    parser.add_argument("--runs", type=int, default=3, help="Pairs of runs.")
    options = parser.parse_args(arguments)
    records = incidents.records(traces_of(options.events))
    rows, times = [], []
    with measured(f"Projecting a backlog of {len(records):,} events with and without statistics"):
        for number in range(options.runs):
            order = (WITH, WITHOUT) if number % 2 else (WITHOUT, WITH)
            found = {command: _run(records, command) for command in order}
            rows.append((found[WITH], found[WITHOUT]))
            times.append(found[WITH].from_assigned_s / found[WITHOUT].from_assigned_s)
            print(f"pair {number + 1}: {times[-1]:.3f} x the time", flush=True)
    _print(rows, times)


def run_without() -> None:
    """Run a worker that does not write the read model."""
    from tasktape.__main__ import run

    async def nothing(*_: object) -> None:
        pass

    statistics.write = nothing  # type: ignore[assignment]
    sys.argv = ["tasktape", "worker"]
    run()


def _run(records: Sequence[Record], command: Sequence[str]) -> Projecting:
    with real_parts() as parts:
        settings = settings_of(parts)
        asyncio.run(write_backlog(settings, records))
        found = project(parts, settings, len(records), command)
        if command is WITH:
            asyncio.run(_read(settings.database_url, settings.schema_name))
        return found


async def _read(url: str, schema: str) -> None:
    """Print the time of a request for all statistics of the list that has all the tasks."""
    database = await open_database(url, schema, pool_size=1, server_settings={"enable_seqscan": "off"})
    queries, now = StatisticsQueries(database), datetime.now(UTC)
    list_id, count = await database.pool.fetchrow(
        "SELECT list_id, count(*) FROM task_flow GROUP BY list_id ORDER BY 2 DESC LIMIT 1"
    ) or ("", 0)
    owner = await database.pool.fetchval("SELECT user_id FROM list_members WHERE list_id = $1", list_id)
    wanted = Wanted(list_id, date(2010, 1, 1), date(2012, 6, 30), group_by="assignee")
    sizes = await database.pool.fetchval("SELECT pg_total_relation_size('task_flow')")
    took: dict[str, list[float]] = {"usual": [], "all days by assignee": []}
    for _ in range(READS):
        for name, each in (("usual", Wanted(list_id)), ("all days by assignee", wanted)):
            began = time.perf_counter()
            await (queries.of_user(owner, each, now) if owner else queries.of_list(list_id, now))
            took[name].append((time.perf_counter() - began) * 1000)
    await database.close()
    shown = ", ".join(f"{name} {median(each):.0f} ms" for name, each in took.items())
    print(f"{count:,} changes in {sizes / 1e6:.0f} MB; statistics of the list: {shown}", flush=True)


def _print(rows: Sequence[tuple[Projecting, Projecting]], times: Sequence[float]) -> None:
    cells = [
        (
            name,
            f"{median(each.per_s for each in runs):,.0f}",
            *(f"{median(each.cpu_s[who] for each in runs):.1f} s" for who in ("worker", "database")),
        )
        for name, runs in zip(("with statistics", "without"), zip(*rows, strict=True), strict=True)
    ]
    print(table(("one worker", "events/s", "worker's time", "database's time"), cells))
    reached = "reached" if median(times) <= TARGET else "MISSED"
    print(f"\ntime with / without, of {len(times)} pairs: {', '.join(f'{each:.3f}' for each in times)}")
    print(f"middle {median(times):.3f}; target at most {TARGET:.2f}: {reached}")
