"""A benchmark of exports: processor time an event and memory, by format, with imported incident logs.

Run it with `python -m benchmarks exporting --logs 16`. The rows of further logs are copies of the first's,
with tasks of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from api.export.formats import FORMATS, FormatName
from api.export.writing import ExportWriter
from app.audit.access import Reader
from app.audit.query import EVERYTHING
from benchmarks.audit_sizes import PARTITIONS, fill, imported, traces_of
from benchmarks.finding import temporary_database
from benchmarks.importing import DEFAULT_FILE
from benchmarks.machine import cpu_s, measured
from benchmarks.tables import table
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.queries.audit_export import AuditExport
from projections.read_models.audit import COLUMNS
from streams.garbage import collect_rarely

SESSION = {"enable_seqscan": "off"}
"""As an API process has it."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks exporting", description=__doc__)
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help="An XES file.")
    parser.add_argument("--logs", type=int, default=1, help="How often its events are in the audit.")
    parser.add_argument("--format", choices=FORMATS, action="append", help="By default all of them.")
    options = parser.parse_args(arguments)
    with measured(f"Exports of {options.logs} incident logs"), temporary_database() as url:
        asyncio.run(_run(url, options.file, options.logs, options.format or FORMATS))


AUDITOR = Reader("auditor", sees_all=True)


async def _run(url: str, file: Path, logs: int, formats: Iterable[FormatName]) -> None:
    await set_up(url, "bench", LogIdentity("bench", "bench", PARTITIONS))
    database = await open_database(url, "bench", pool_size=1, server_settings=SESSION)
    await fill(database, imported(traces_of(file), 0))
    await _copy(database, logs)
    collect_rarely()  # as the API's process does
    rows = [await _measure(database, name) for name in formats]
    heads = ("format", "events", "bytes each", "µs, exporter", "µs, PostgreSQL", "events/s", "MB more")
    print(table(heads, rows))
    await database.close()


async def _copy(database: Database, logs: int) -> None:
    """Copy the rows of the audit, with other offsets and other streams."""
    changed = {
        '"offset"': '"offset" + $1::bigint * $2::bigint',
        '"stream"': "overlay(stream placing lpad($1::text, 4, '0') from 6 for 4)",
    }
    columns = [f'"{name}"' for name in COLUMNS]
    copy = f"""
        INSERT INTO audit ({", ".join(columns)})
        SELECT {", ".join(changed.get(name, name) for name in columns)}
        FROM audit WHERE partition = $3 AND "offset" < $2::bigint
    """
    ends = await _ends(database)
    for nth in range(1, logs):
        for partition, last in ends.items():
            await database.pool.execute(copy, nth, last + 1, partition)
    await database.pool.execute("VACUUM ANALYZE audit")


async def _ends(database: Database) -> dict[int, int]:
    rows = await database.pool.fetch('SELECT partition, max("offset") AS last FROM audit GROUP BY partition')
    return {row["partition"]: row["last"] for row in rows}


async def _measure(database: Database, name: FormatName) -> tuple[str, ...]:
    """Export everything into nothing, and return a line of the table."""
    export, until = AuditExport(database), await _ends(database)
    read = export.by_stream if FORMATS[name].by_stream else export.by_position
    server = await database.pool.fetchval("SELECT pg_backend_pid()")
    writer = ExportWriter(FORMATS[name])
    before_mb = _rss_mb()
    most_mb = before_mb
    began = time.process_time(), cpu_s(server, alone=True), time.monotonic()
    size_bytes = 0
    async for chunk in writer.chunks(lambda: read(EVERYTHING, AUDITOR, {}, until)):
        size_bytes += len(chunk)
        most_mb = max(most_mb, _rss_mb())
    ours_s, server_s, took_s = (
        after - before
        for before, after in zip(
            began, (time.process_time(), cpu_s(server, alone=True), time.monotonic()), strict=True
        )
    )
    figures = (ours_s / writer.events * 1e6, server_s / writer.events * 1e6)
    return (
        name,
        f"{writer.events:,}",
        f"{size_bytes / writer.events:.0f}",
        *(f"{each:.1f}" for each in figures),
        f"{writer.events / took_s:,.0f}",
        f"{most_mb - before_mb:.0f}",
    )


def _rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6
