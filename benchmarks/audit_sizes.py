"""A benchmark of the bytes of a record in the audit, by column and by index, with imported incident logs.

Run it with `python -m benchmarks audit_sizes --logs 4`. The rows are written in batches beside their indexes,
as a worker writes them.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from app.ids import derived_id
from app.imported_history import Import, ImportedTask, import_list_id, records_of
from app.lists.events import ListCreated
from app.log.fold import Fold, decoded
from app.log.records import RawRecord, Record, encode
from app.positions import Position
from app.stream_ids import list_stream
from benchmarks import incidents
from benchmarks.finding import temporary_database
from benchmarks.importing import DEFAULT_FILE
from benchmarks.machine import measured
from benchmarks.tables import table
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.connections import Source
from projections.postgres.database import Database
from projections.read_models import audit
from projections.read_models.projected import Projected, ProjectedBatch, project
from streams.producing import partition_of
from tasktape.importers.histories import history_of
from tasktape.importers.xes import XesTrace, read_xes

TARGET_BYTES = 700
PARTITIONS = 4
BATCH = 500
"""Records."""
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Sizes:
    """The bytes that a record takes on average: in all, by column, and by relation."""

    events: int
    total: float
    columns: dict[str, float]
    relations: dict[str, float]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks audit_sizes", description=__doc__)
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help="An XES file.")
    parser.add_argument("--logs", type=int, default=1, help="How often it is imported, into a list each.")
    options = parser.parse_args(arguments)
    with measured(f"Bytes of a record in the audit, with {options.logs} incident logs"):
        with temporary_database() as url:
            sizes = asyncio.run(_run(url, options.file, options.logs))
        _print(sizes)


async def _run(url: str, file: Path, logs: int) -> Sizes:
    await set_up(url, "bench", LogIdentity("bench", "bench", PARTITIONS))
    database = await open_database(url, "bench", pool_size=1)
    traces = traces_of(file)
    cpu_s = time.process_time()
    await fill(database, (record for nth in range(logs) for record in imported(traces, nth)))
    print(f"processor time of filling: {time.process_time() - cpu_s:.1f} s\n", flush=True)
    found = await sizes_of(database.pool)
    await database.close()
    return found


def traces_of(file: Path) -> list[XesTrace]:
    """Return the traces of a file, or made up ones if there is no such file."""
    if not file.exists():
        return incidents.traces()
    with gzip.open(file) as opened:
        chunks = iter(lambda: opened.read(CHUNK_BYTES), b"")
        return [trace for trace in read_xes(chunks) if isinstance(trace, XesTrace)]


def imported(traces: Iterable[XesTrace], nth: int) -> Iterator[Record]:
    """Yield the records of an import in their order in the log."""
    run = Import(import_list_id("importer", "incidents", nth), "importer", derived_id("run", str(nth)))
    yield Record(
        id=derived_id("list", run.list_id),
        stream=list_stream(run.list_id),
        version=1,
        time=BEGIN,
        actor=run.user,
        source="/tasktape/api",
        data=ListCreated("incidents"),
        correlation_id=run.correlation_id,
    )
    for trace in traces:
        yield from records_of(
            run, cast("ImportedTask", {"key": trace.label, "events": history_of(trace).events})
        )


async def fill(database: Database, records: Iterable[Record]) -> None:
    """Write records into the audit."""
    fold, ends = Fold(), [0] * PARTITIONS
    batch: list[Projected] = []
    for number, record in enumerate(records):
        key, value, headers = encode(record)
        partition = partition_of(key, PARTITIONS)
        position = Position(partition, ends[partition])
        ends[partition] += 1
        raw = RawRecord(position, BEGIN + timedelta(milliseconds=number), key, headers, value)
        batch.append(project(fold.apply(raw, decoded(raw)), tells=False))
        if len(batch) == BATCH:
            await _write(database, batch)
            batch = []
    await _write(database, batch)


async def _write(database: Database, batch: list[Projected]) -> None:
    batch.sort(key=lambda projected: projected.event.position)
    async with database.pool.acquire() as connection, connection.transaction():
        await audit.write(connection, ProjectedBatch(batch, {}))


async def sizes_of(source: Source) -> Sizes:
    """Return the sizes of the audit."""
    sums = ", ".join(f'coalesce(sum(pg_column_size("{name}")), 0)::bigint' for name in audit.COLUMNS)
    [(events, *columns)] = await source.fetch(f"SELECT count(*), {sums} FROM audit")
    relations = await source.fetch("""
        SELECT relname, pg_relation_size(oid) AS size FROM pg_class
        WHERE oid IN ('audit'::regclass, 'audit_users'::regclass) OR oid IN (
            SELECT indexrelid FROM pg_index WHERE indrelid IN ('audit'::regclass, 'audit_users'::regclass)
        ) ORDER BY relname
    """)
    total = await source.fetchval(
        "SELECT pg_total_relation_size('audit') + pg_total_relation_size('audit_users')"
    )
    return Sizes(
        events,
        total / events,
        {name: size / events for name, size in zip(audit.COLUMNS, columns, strict=True)},
        {row["relname"]: row["size"] / events for row in relations},
    )


def _print(sizes: Sizes) -> None:
    for heads, found in ((("column", "bytes"), sizes.columns), (("relation", "bytes"), sizes.relations)):
        print(table(heads, [(name, f"{size:.1f}") for name, size in found.items()]) + "\n")
    reached = "reached" if sizes.total <= TARGET_BYTES else "MISSED"
    print(f"{sizes.events:,} events: {sizes.total:.0f} bytes each; target at most {TARGET_BYTES}: {reached}")
