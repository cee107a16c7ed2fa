"""The update of a copy: events are added a part at a time, and each part is committed by itself."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.positions import latest
from tasktape.parquet_copy.manifest import (
    DayFile,
    Manifest,
    Query,
    commit,
    only_writer,
    opened,
    sync_folder,
    temporary_of,
)

PART_EVENTS = 50_000
"""The events of a part, which are in memory together."""
MOST_SMALL_FILES = 16
SMALL_BYTES = 16 * 1024 * 1024
"""When a day has more files below this size, they are merged."""
COMPRESSION = "zstd"


class Part(NamedTuple):
    """The next events, at most `PART_EVENTS`, and the positions that are reached if there are fewer."""

    events: pa.Table
    until: Mapping[int, int]


async def bring_up_to_date(
    folder: Path,
    query: Query,
    fetch: Callable[[Mapping[int, int]], Awaitable[Part]],
    progress: Callable[[int], None],
) -> Manifest:
    """Add all events that the copy lacks; `fetch` returns those after some positions.

    Raise `BadCopy`, `OSError` and what `fetch` raises. All parts until then stay.
    """
    with only_writer(folder):
        manifest = opened(folder, query)
        while True:
            part = await fetch(manifest.positions)
            manifest = await asyncio.to_thread(add, folder, manifest, part)
            progress(part.events.num_rows)
            if part.events.num_rows < PART_EVENTS:
                return await asyncio.to_thread(merged, folder, manifest)


def add(folder: Path, manifest: Manifest, part: Part) -> Manifest:
    """Commit a part. Raise `OSError`."""
    events, number = part.events, manifest.commits + 1
    new = [_write(folder, day, number, [table]) for day, table in _by_day(events)]
    places: Iterable[tuple[int, int]] = part.until.items()
    if events.num_rows >= PART_EVENTS:
        places = zip(events["partition"].to_pylist(), events["offset"].to_pylist(), strict=True)
    positions = latest([*manifest.positions.items(), *places])
    if not new and positions == manifest.positions:
        return manifest
    following = replace(manifest, positions=positions, commits=number, files=(*manifest.files, *new))
    commit(folder, following)
    return following


def merged(folder: Path, manifest: Manifest) -> Manifest:
    """Merge the small files of each day that has many."""
    small = [each for each in manifest.files if each.size_bytes < SMALL_BYTES]
    crowded = {day for day, files in Counter(each.day for each in small).items() if files > MOST_SMALL_FILES}
    for day in sorted(crowded):
        together = [each for each in small if each.day == day]
        tables = (pq.ParquetFile(folder / each.path).read() for each in together)
        number = manifest.commits + 1
        new = _write(folder, day, number, tables)
        rest = tuple(each for each in manifest.files if each not in together)
        manifest = replace(manifest, commits=number, files=(*rest, new))
        commit(folder, manifest)
    return manifest


def _by_day(events: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield the events of each day on which the log recorded some, with the name of its folder."""
    days = pc.strftime(events["recorded_at"], "%Y-%m-%d")
    for day in pc.unique(days).to_pylist():
        yield f"recorded_on={day}", events.filter(pc.equal(days, day))


def _write(folder: Path, day: str, number: int, tables: Iterable[pa.Table]) -> DayFile:
    """Write a file under its temporary name."""
    path = folder / day / f"events-{number:08d}.parquet"
    path.parent.mkdir(exist_ok=True)
    temporary = temporary_of(path)
    events, first = 0, next(remaining := iter(tables))
    with temporary.open("wb") as file:
        with pq.ParquetWriter(file, first.schema, compression=COMPRESSION) as writer:
            for table in chain([first], remaining):
                writer.write_table(table)
                events += table.num_rows
        file.flush()
        os.fsync(file.fileno())
        size_bytes = file.tell()
    sync_folder(path.parent)
    return DayFile(f"{day}/{path.name}", events, size_bytes)
