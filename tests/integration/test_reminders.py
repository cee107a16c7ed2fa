"""Reminders on the real parts: in time, once, despite failures of the workers.

After each test the read models are the fold of the log, and every reminder fired exactly once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from app.dates import format_time
from app.lists.events import ListCreated, ListDeleted, ListRestored
from app.log.records import Record
from app.settings import Settings
from app.tasks.events import TaskCompleted, TaskCreated, TaskEdited, TaskEvent, TaskReminded
from projections.generations.opening import open_database
from streams.event_log import KafkaEventLog
from streams.migrate import migrate
from tests.places import WorkerProcess, make_outdated, new_place
from tests.spec import record_of
from tests.truth import check_place, wait_until_projected
from tests.waiting import eventually

READY_LIMIT_S = 30.0
IN_TIME = timedelta(seconds=2)


class Tasks:
    """Alice's tasks on a log, written as an API node does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
        self.list_id = str(uuid4())
        self.due: dict[str, list[datetime]] = {}

    async def begin(self) -> None:
        """Create the list."""
        await self.log.append([self.record(ListCreated("Home"), 1, f"list:{self.list_id}")])

    def record(self, event: object, version: int, stream: str) -> Record:
        """Return a record with the current time."""
        now = datetime.now(UTC)
        return record_of(event, version, id=str(uuid4()), stream=stream, time=now)  # type: ignore[arg-type]

    async def add(self, number: int, *due: datetime) -> list[str]:
        """Add tasks that each have a reminder at these times, and return their streams."""
        streams = [f"task:{uuid4()}" for _ in range(number)]
        reminders = tuple({"at": at.isoformat()} for at in due)
        created = TaskCreated(self.list_id, "T", reminders=reminders)  # type: ignore[arg-type]
        await self.log.append([self.record(created, 1, stream) for stream in streams])
        self.due.update((stream, list(due)) for stream in streams)
        return streams

    async def happens(self, event: TaskEvent, streams: Sequence[str], version: int = 2) -> None:
        """Append events of tasks."""
        await self.log.append([self.record(event, version, stream) for stream in streams])

    async def fired(self) -> int:
        """Return the number of fired reminders."""
        database = await open_database(self.settings.database_url, self.settings.schema_name, pool_size=1)
        try:
            query = "SELECT count(*) FROM notifications WHERE kind = 'reminded'"
            return int(await database.pool.fetchval(query))
        finally:
            await database.close()

    async def all_fire(self, limit_s: float = 60.0) -> None:
        """Wait until all have fired, and that is projected."""
        wanted = sum(len(due) for due in self.due.values())

        async def have_fired() -> bool:
            return await self.fired() >= wanted

        await eventually(have_fired, limit_s, "not all reminders fired")
        await wait_until_projected(self.settings)

    async def check(self) -> dict[tuple[str, str], datetime]:
        """Check the place, and that each reminder fired once; return its time by the log's clock."""
        outcome = await check_place(self.settings)
        fired = [
            (each.raw.stream or "", each.record.data.at, each.raw.recorded_at)
            for each in outcome
            if each.outcome == "accepted" and each.record and isinstance(each.record.data, TaskReminded)
        ]
        when = {(stream, at): recorded_at for stream, at, recorded_at in fired}
        assert len(when) == len(fired), "a reminder fired twice"
        assert set(when) == {(stream, format_time(at)) for stream, due in self.due.items() for at in due}, (
            "a reminder was lost"
        )
        return when


@pytest.fixture
async def tasks(kafka_brokers: str, database_url: str) -> AsyncIterator[Tasks]:
    found = Tasks(await new_place(kafka_brokers, database_url))
    await found.begin()
    yield found
    await found.log.close()


@pytest.fixture
def workers(tasks: Tasks, tmp_path: Path) -> Iterator[list[WorkerProcess]]:
    found = [WorkerProcess(tasks.settings, tmp_path, slot=str(slot)) for slot in range(2)]
    yield found
    for worker in found:
        worker.kill()


async def started(*workers: WorkerProcess) -> None:
    for worker in workers:
        worker.start()
    for worker in workers:
        await eventually(lambda worker=worker: worker.is_ready, READY_LIMIT_S, "the worker did not get ready")  # type: ignore[misc]


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def late(when: dict[tuple[str, str], datetime]) -> timedelta:
    """Return the maximum delay."""
    return max(recorded_at - datetime.fromisoformat(at) for (_, at), recorded_at in when.items())


async def fire_in_time(tasks: Tasks) -> None:
    """Let some fire, also ones set shortly before; repeat if the machine was too busy."""
    for _ in range(3):
        streams = {*await tasks.add(20, soon(2), soon(3)), *await tasks.add(5, soon(0.2))}
        await tasks.all_fire()
        when = await tasks.check()
        if late({key: at for key, at in when.items() if key[0] in streams}) < IN_TIME:
            return
    raise AssertionError(f"reminders came late by up to {late(when)}")


async def test_reminders_fire_in_time_with_one_worker_and_with_two(
    tasks: Tasks, workers: list[WorkerProcess]
) -> None:
    """Not before their time, and within two seconds."""
    await started(workers[0])
    await fire_in_time(tasks)
    await started(workers[1])
    await fire_in_time(tasks)
    when = await tasks.check()
    assert timedelta(0) <= min(at - datetime.fromisoformat(due) for (_, due), at in when.items())


async def test_reminders_due_during_an_outage_fire_afterwards(
    tasks: Tasks, workers: list[WorkerProcess]
) -> None:
    """Each once; tasks closed in between remind of nothing."""
    await started(workers[0])
    at = soon(8)
    await tasks.add(50, at, at + timedelta(seconds=1))
    done = await tasks.add(10, at)
    gone = await tasks.add(10, at)
    await wait_until_projected(tasks.settings)
    workers[0].kill()
    assert await tasks.fired() == 0
    await tasks.happens(TaskCompleted(), done)
    postponed = soon(600)
    await tasks.happens(TaskEdited({"reminders": ({"at": postponed.isoformat()},)}), gone)
    for stream in (*done, *gone):
        del tasks.due[stream]
    await eventually(lambda: datetime.now(UTC) > at + timedelta(seconds=2))
    await started(*workers)
    await tasks.all_fire()
    await tasks.check()


async def test_worker_killed_while_firing_repeats_nothing(tasks: Tasks, workers: list[WorkerProcess]) -> None:
    """Repeatedly, among thousands of reminders."""
    worker = workers[0]
    await started(worker)
    at = soon(5)
    for n in range(4):  # not all at once: the test may be slow to notice the first ones
        await tasks.add(500, at + timedelta(seconds=2 * n))
    await wait_until_projected(tasks.settings)
    fired_at_kills = [0]
    while len(fired_at_kills) < 4 and fired_at_kills[-1] < len(tasks.due):

        async def more_fired() -> bool:
            return await tasks.fired() > fired_at_kills[-1]

        await eventually(more_fired, 60, "no reminder fired")
        worker.kill()
        fired_at_kills.append(await tasks.fired())
        await started(worker)
    assert any(0 < fired < len(tasks.due) for fired in fired_at_kills), "it was not killed in the middle"
    await tasks.all_fire()
    await tasks.check()


async def test_second_worker_takes_over_from_a_killed_one(tasks: Tasks, workers: list[WorkerProcess]) -> None:
    """Including reminders that it had not fired."""
    await started(*workers)
    at = soon(4)
    for n in range(2):
        await tasks.add(500, at + timedelta(seconds=2 * n))
    await wait_until_projected(tasks.settings)

    async def some_fired() -> bool:
        return await tasks.fired() > 0

    await eventually(some_fired, 60, "no reminder fired")
    workers[0].kill()
    await tasks.all_fire()
    await tasks.check()


async def test_reminders_of_a_deleted_list_fire_when_it_is_restored(
    tasks: Tasks, workers: list[WorkerProcess]
) -> None:
    """Not before, while later ones elsewhere fire; then each once."""
    await started(workers[0])
    await tasks.add(5, soon(2))
    deleted_list, tasks.list_id = tasks.list_id, str(uuid4())
    await tasks.log.append([tasks.record(ListDeleted(), 2, f"list:{deleted_list}")])
    await tasks.begin()
    elsewhere = await tasks.add(5, soon(4))

    async def fired_elsewhere() -> bool:
        return await tasks.fired() >= len(elsewhere)

    await eventually(fired_elsewhere, 60)
    assert await tasks.fired() == len(elsewhere)
    await tasks.log.append([tasks.record(ListRestored(), 3, f"list:{deleted_list}")])
    await tasks.all_fire()
    assert await tasks.fired() == 10
    await tasks.check()


async def test_rebuild_equals_the_live_read_models(tasks: Tasks, workers: list[WorkerProcess]) -> None:
    """It fires nothing, and has the same reminders and notifications."""
    await started(workers[0])
    await tasks.add(20, soon(1), soon(600))
    tasks.due = {stream: due[:1] for stream, due in tasks.due.items()}
    await tasks.all_fire()
    workers[0].stop()
    live = {name: await rows(tasks.settings, name) for name in ("reminders", "notifications")}
    assert [len(found) for found in live.values()] == [20, 20]
    await make_outdated(tasks.settings)
    assert "rebuilt" in (await migrate(tasks.settings))[-1]
    assert {name: await rows(tasks.settings, name) for name in live} == live
    await tasks.check()


async def rows(settings: Settings, name: str) -> list[tuple[object, ...]]:
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    try:
        return [
            tuple(row.values()) for row in await database.pool.fetch(f"SELECT * FROM {name} ORDER BY 1, 2")
        ]
    finally:
        await database.close()
