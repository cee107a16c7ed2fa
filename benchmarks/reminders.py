"""A benchmark of ten thousand reminders that are due in the same second, fired together and one by one.

It measures from the instant they are due until each is on the log, projected, in its user's notifications,
and its update is out. For comparison, on the same parts with the same worker, it runs a simple scheduler,
which appends a reminder and waits until it is projected, or does not wait, before it takes the next one.

Run it with `python -m benchmarks reminders`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import NamedTuple
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.dates import format_time
from app.lists.events import ListCreated
from app.log.records import Event, Record
from app.positions import Position
from app.settings import Settings
from app.stream_ids import StreamId
from app.tasks.events import TaskCreated, TaskReminded
from benchmarks.backlog import settings_of
from benchmarks.machine import cpu_s, measured
from benchmarks.parts import Parts, real_parts
from benchmarks.tables import percentile, table
from benchmarks.worker_processes import started_worker
from projections.generations.opening import live_generation
from projections.postgres.database import asyncpg_dsn
from streams.event_log import KafkaEventLog
from streams.migrate import migrate

TARGET_S = 5.0
LEAD_S = 25.0
"""The time from writing the tasks to their due time, in which all of them have to be projected."""
LATER = timedelta(days=1)
APPEND_AT_ONCE = 2_000
POLL_S = 0.02
FAST_POLL_S = 0.001
LIMIT_S = 120.0
USERS = 50


class Firing(NamedTuple):
    """The seconds from the due time: until all were out, and for each update."""

    reminders: int
    all_s: float
    each_s: Sequence[float]
    cpu_s: float


class OneByOne(NamedTuple):
    """The number of reminders that a simple scheduler fired, and the seconds."""

    reminders: int
    took_s: float

    @property
    def per_s(self) -> float:
        """Return reminders per second."""
        return self.reminders / self.took_s


class Run(NamedTuple):
    """The measurements on the same parts, one after the other."""

    one_worker: Firing
    waiting: OneByOne
    not_waiting: OneByOne
    two_workers: Firing


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks reminders", description=__doc__)
    parser.add_argument("--reminders", type=int, default=10_000, help="Reminders due at the same instant.")
    parser.add_argument("--one-by-one", type=int, default=1_000, help="Reminders for the simple scheduler.")
    parser.add_argument("--runs", type=int, default=3, help="Runs, each on parts of its own.")
    options = parser.parse_args(arguments)
    with measured(f"Firing {options.reminders:,} reminders that are due at the same instant"):
        runs: list[Run] = []
        for _ in range(options.runs):
            with real_parts() as parts:
                runs.append(asyncio.run(_run(parts, options.reminders, options.one_by_one)))
            _say(runs[-1])
        _print(runs)


async def _run(parts: Parts, reminders: int, one_by_one: int) -> Run:
    settings = settings_of(parts)
    await migrate(settings)
    async with _place(settings) as place:
        with ExitStack() as workers:
            pids = [workers.enter_context(started_worker(parts, 0))]
            first = await place.fire(reminders, pids)
            waiting = await place.one_by_one(one_by_one, wait=True)
            not_waiting = await place.one_by_one(one_by_one, wait=False)
            pids.append(workers.enter_context(started_worker(parts, 1)))
            second = await place.fire(reminders, pids)
    return Run(first, waiting, not_waiting, second)


# --- a place with many tasks -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """The log, the database and the updates, as an observer sees them."""

    settings: Settings
    log: KafkaEventLog
    database: asyncpg.Connection[asyncpg.Record]
    consumer: AIOKafkaConsumer
    lists: Sequence[str]

    async def fire(self, number: int, pids: Sequence[int]) -> Firing:
        """Add tasks whose reminders are due at one instant, and wait until all have fired."""
        due = datetime.now(UTC) + timedelta(seconds=LEAD_S)
        told = await self._told()
        await self._add(number, due)
        await self._until_projected()
        if datetime.now(UTC) > due:
            raise SystemExit("the tasks were not projected before they were due")
        before, spent_s = await self._ends(), sum(map(cpu_s, pids))
        wanted = sum(before.values()) + number

        async def all_out() -> bool:
            return sum((await self._ends()).values()) >= wanted

        await _until(all_out)
        all_s = time.time() - due.timestamp()
        spent_s = sum(map(cpu_s, pids)) - spent_s
        if await self._told() != told + number:
            raise SystemExit("the notifications are not as many as the reminders")
        each_s = [written_s - due.timestamp() for written_s in await self._written_since(before)]
        return Firing(number, all_s, each_s, spent_s)

    async def one_by_one(self, number: int, *, wait: bool) -> OneByOne:
        """Fire reminders like a simple scheduler; `wait` for each until it is projected."""
        due = datetime.now(UTC) + LATER
        streams = await self._add(number, due)
        await self._until_projected()
        started_s = time.monotonic()
        for stream in streams:
            event = TaskReminded(format_time(due), (_user(0),))
            [position] = await self.log.append([_record(event, 2, stream, "tasktape")])
            if wait:
                await self._until_reached(position)
        await self._until_projected()
        return OneByOne(number, time.monotonic() - started_s)

    async def _add(self, number: int, due: datetime) -> list[str]:
        streams = [f"task:{uuid4()}" for _ in range(number)]
        reminders = ({"at": due.isoformat()},)
        records = [
            _record(
                TaskCreated(self.lists[place % USERS], f"Task {place}", reminders=reminders),  # type: ignore[arg-type]
                1,
                stream,
                _user(place % USERS),
            )
            for place, stream in enumerate(streams)
        ]
        for first in range(0, number, APPEND_AT_ONCE):
            await self.log.append(records[first : first + APPEND_AT_ONCE])
        return streams

    async def _until_projected(self) -> None:
        """Wait until the whole log is projected and its updates are out."""
        ends = await self.log.ends()

        async def is_projected() -> bool:
            return await self._reached() == ends == await self._ends()

        await _until(is_projected)

    async def _until_reached(self, position: Position) -> None:
        async def is_reached() -> bool:
            return (await self._reached())[position.partition] > position.offset

        await _until(is_reached, FAST_POLL_S)

    async def _reached(self) -> dict[int, int]:
        rows = await self.database.fetch("SELECT partition, next_offset FROM checkpoints")
        return {row["partition"]: row["next_offset"] for row in rows}

    async def _told(self) -> int:
        query = "SELECT count(*) FROM notifications WHERE kind = 'reminded'"
        return int(await self.database.fetchval(query))

    def _where(self) -> list[TopicPartition]:
        settings = self.settings
        return [TopicPartition(settings.updates_topic, each) for each in range(settings.partitions)]

    async def _ends(self) -> dict[int, int]:
        ends = await self.consumer.end_offsets(self._where())
        return {place.partition: offset for place, offset in ends.items()}

    async def _written_since(self, before: dict[int, int]) -> list[float]:
        """Return when the later updates were written, in seconds of the broker's clock."""
        ends, where = await self._ends(), self._where()
        self.consumer.assign(where)
        for place in where:
            self.consumer.seek(place, before[place.partition])
        written: list[float] = []
        while len(written) < sum(ends.values()) - sum(before.values()):
            for messages in (await self.consumer.getmany(timeout_ms=500)).values():
                written += [message.timestamp / 1000 for message in messages]
        return sorted(written)


@asynccontextmanager
async def _place(settings: Settings) -> AsyncIterator[Place]:
    dsn = asyncpg_dsn(settings.database_url)
    schema = (await live_generation(dsn, settings.schema_name)).schema
    database = await asyncpg.connect(dsn, server_settings={"search_path": schema})
    consumer = AIOKafkaConsumer(bootstrap_servers=list(settings.kafka_brokers), group_id=None)
    await consumer.start()
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    await log.start()
    lists = [str(uuid4()) for _ in range(USERS)]
    try:
        await log.append(
            [
                _record(ListCreated("Home"), 1, f"list:{list_id}", _user(place))
                for place, list_id in enumerate(lists)
            ]
        )
        yield Place(settings, log, database, consumer, lists)
    finally:
        await log.close()
        await consumer.stop()
        await database.close()


async def _until(condition: Callable[[], Awaitable[bool]], poll_s: float = POLL_S) -> None:
    """Wait until it is true. Raises `TimeoutError`."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            if await condition():
                return
            await asyncio.sleep(poll_s)


def _user(number: int) -> str:
    return f"user-{number}"


def _record(event: Event, version: int, stream: str, actor: str) -> Record:
    return Record(str(uuid4()), StreamId(stream), version, datetime.now(UTC), actor, "/tasktape/bench", event)


# --- what is said of it ----------------------------------------------------------------------------------


def _say(run: Run) -> None:
    one, two = run.one_worker, run.two_workers
    print(f"one worker {one.all_s:.2f} s ({one.cpu_s:.1f} s of its processor time)", end=", ")
    print(f"two workers {two.all_s:.2f} s ({two.cpu_s:.1f} s)", end="; ")
    print(
        f"one by one {run.waiting.per_s:,.0f}/s, without waiting {run.not_waiting.per_s:,.0f}/s", flush=True
    )


def _print(runs: Sequence[Run]) -> None:
    one = [run.one_worker for run in runs]
    rows = [_row("one worker", one), _row("two workers", [run.two_workers for run in runs])]
    heads = ("Tasktape, due to update out", "reminders", "p50 s", "p99 s", "all s", "reminders/s")
    print(table(heads, rows))
    ours = [each.reminders / each.all_s for each in one]
    print()
    others = [
        ("append, wait until it is projected", [run.waiting for run in runs]),
        ("append, next one; then wait for all", [run.not_waiting for run in runs]),
    ]
    print(
        table(
            ("one by one, same parts and worker", "reminders", "reminders/s", "Tasktape is"),
            [_ratio(what, found, ours) for what, found in others],
        )
    )
    middle = median(each.all_s for each in one)
    reached = "reached" if middle <= TARGET_S else "MISSED"
    print(f"\nmiddle of {len(runs)} runs: {middle:.2f} s; target {TARGET_S:.0f} s: {reached}")


def _row(what: str, found: Sequence[Firing]) -> tuple[str, ...]:
    middle = sorted(found, key=lambda each: each.all_s)[len(found) // 2]
    p50, p99 = percentile(middle.each_s, 50), percentile(middle.each_s, 99)
    rate = middle.reminders / middle.all_s
    return (what, f"{middle.reminders:,}", f"{p50:.2f}", f"{p99:.2f}", f"{middle.all_s:.2f}", f"{rate:,.0f}")


def _ratio(what: str, found: Sequence[OneByOne], ours: Sequence[float]) -> tuple[str, ...]:
    times = [mine / each.per_s for mine, each in zip(ours, found, strict=True)]
    how_many = f"{median(times):.1f} x ({min(times):.1f} to {max(times):.1f})"
    return (what, f"{found[0].reminders:,}", f"{median(each.per_s for each in found):,.0f}", how_many)
