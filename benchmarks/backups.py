"""A benchmark of backups: writing, checking and restoring a log, beside bare reads and writes of Kafka.

Run it with `python -m benchmarks backups`.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from app.log.records import Record
from app.settings import Settings
from benchmarks import incidents
from benchmarks.backlog import append_all, environment_of
from benchmarks.machine import measured
from benchmarks.parts import Parts, real_parts
from benchmarks.tables import table
from streams.backup.backup import back_up
from streams.backup.new_file import new_file
from streams.backup.reading import read_ends
from streams.backup.restore import check_restorable, restore
from streams.event_log import KafkaEventLog
from streams.topics import ensure_topics, shapes_of

EVENTS = 262_132
TASKS = 4 * incidents.TASKS


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks backups", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="Size of the log.")
    options = parser.parse_args(arguments)
    records = incidents.records(incidents.traces(options.events * TASKS // EVENTS, options.events))
    with measured(f"Backing up a log of {len(records):,} events"), real_parts() as parts:
        asyncio.run(_run(parts, records))


async def _run(parts: Parts, records: Sequence[Record]) -> None:
    source, target = (_settings(parts, name) for name in ("source", "target"))
    path, increment = parts.folder / "full.ttb", parts.folder / "increment.ttb"
    memory_before = _memory_mib()
    rows = [await _timed("bare append of the records", len(records), lambda: _append(source, records))]
    rows.append(await _timed("bare read of the log", len(records), lambda: _read(source)))
    rows.append(await _timed("backup", len(records), lambda: _back_up(source, path)))
    rows.append(await _timed("backup --check", len(records), lambda: asyncio.to_thread(_check, path)))
    rows.append(await _timed("restore, checks included", len(records), lambda: _restore(target, path)))
    await _append(source, records[:100])
    rows.append(await _timed("backup --since of 100 events", 100, lambda: _back_up(source, increment, path)))
    print(table(("what", "seconds", "processor s", "events/s"), rows))
    record_bytes, file_bytes = read_ends(path).footer.record_bytes, path.stat().st_size
    each = (f"{size / len(records):.0f}" for size in (file_bytes, record_bytes, _log_bytes(parts)))
    print("\nbytes per event: {} in the file, {} of its records, {} in Kafka's folder".format(*each))
    print(f"this process used {_memory_mib():.0f} MiB at most, {memory_before:.0f} before")


async def _timed(what: str, events: int, do: Callable[[], Coroutine[Any, Any, object]]) -> tuple[str, ...]:
    started_s, cpu_s = time.monotonic(), time.process_time()
    await do()
    took_s, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_s
    return what, f"{took_s:.1f}", f"{cpu_s:.1f}", f"{events / took_s:,.0f}"


async def _append(settings: Settings, records: Sequence[Record]) -> None:
    await ensure_topics(settings.kafka_brokers, shapes_of(settings)[:1])
    await append_all(settings, records)


async def _read(settings: Settings) -> None:
    event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    for partition, end in (await event_log.ends()).items():
        async for _ in event_log.read_messages(partition, 0, end):
            pass
    await event_log.close()


async def _back_up(settings: Settings, path: Path, since: Path | None = None) -> None:
    base = None if since is None else read_ends(since)
    with new_file(path) as file:
        await back_up(settings, file, version="bench", base=base, progress=lambda _done, _total: None)


async def _restore(settings: Settings, path: Path) -> None:
    await restore(settings, await asyncio.to_thread(_check, path), lambda _label, _done, _total: None)


def _check(path: Path) -> Any:
    return check_restorable([path], lambda _label, _done, _total: None)


def _settings(parts: Parts, name: str) -> Settings:
    own = {"TASKTAPE_EVENTS_TOPIC": f"{name}-events", "TASKTAPE_UPDATES_TOPIC": f"{name}-updates"}
    return Settings.from_environment({**environment_of(parts), **own, "TASKTAPE_SCHEMA": name})


def _log_bytes(parts: Parts) -> int:
    return sum(file.stat().st_size for file in parts.folder.glob("kafka/log/source-events-*/*.log"))


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
