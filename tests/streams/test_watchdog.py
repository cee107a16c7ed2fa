"""Watchdog: ends a worker without progress, and no other."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import pytest

from app.tasks.events import TaskCreated
from projections.generations.completeness import missing_tables
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from streams import watchdog
from streams.watchdog import Watchdog, watch_progress
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, START, record_of
from tests.waiting import eventually

LIMIT_S = 2.0


class Stall:
    """Records the watchdog's action."""

    def __init__(self) -> None:
        self.struck = threading.Event()

    def __call__(self) -> None:
        self.struck.set()


async def test_blocked_event_loop_is_ended() -> None:
    """Without heartbeats, whatever the cause."""
    stall = Stall()
    Watchdog(LIMIT_S, stall).start()
    assert stall.struck.wait(LIMIT_S * 10)


async def test_stopped_watchdog_ends_nothing() -> None:
    stall = Stall()
    dog = Watchdog(LIMIT_S, stall)
    dog.start()
    dog.stop()
    assert not stall.struck.wait(LIMIT_S * 2)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    schema = f"w_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 1))
    database = await open_database(database_url, schema, pool_size=2)
    yield database
    await database.close()


@asynccontextmanager
async def watched(
    database: Database, log: MemoryEventLog, stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Projector]:
    monkeypatch.setattr(watchdog, "CHECK_S", LIMIT_S / 10)
    projector = Projector(database, log.read, None)
    dog = Watchdog(LIMIT_S, stall)
    dog.start()
    watching = asyncio.create_task(
        watch_progress(dog, projector, log, lambda: frozenset({0}), partial(missing_tables, database))
    )
    try:
        yield projector
    finally:
        dog.stop()
        watching.cancel()


async def write(log: MemoryEventLog) -> None:
    stream = f"task:{uuid4()}"
    await log.append([record_of(TaskCreated(LIST_ID, "t"), 1, id=str(uuid4()), stream=stream)])


async def test_growing_log_with_a_fixed_checkpoint_ends_the_worker(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, stall = MemoryEventLog(1, lambda: START), Stall()
    async with watched(database, log, stall, monkeypatch):
        await write(log)
        await eventually(stall.struck.is_set)


async def test_progressing_and_idle_workers_are_left_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, stall = MemoryEventLog(1, lambda: START), Stall()
    async with watched(database, log, stall, monkeypatch) as projector:
        for count in range(1, 6):
            await write(log)
            await projector.catch_up(0, count)
            await asyncio.to_thread(stall.struck.wait, LIMIT_S / 2)
    assert not stall.struck.is_set()


async def test_unavailable_database_is_not_the_workers_fault(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, stall = MemoryEventLog(1, lambda: START), Stall()
    async with watched(database, log, stall, monkeypatch):
        await write(log)
        await database.close()
        assert not await asyncio.to_thread(stall.struck.wait, LIMIT_S * 3)
