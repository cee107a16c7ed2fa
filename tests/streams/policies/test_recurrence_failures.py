"""Recurrence when something goes wrong: records that cannot be read or written, delays, rebuilds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.errors import Unavailable
from app.ids import derived_id
from app.log.records import Record
from app.positions import Position
from app.tasks.commands import CompleteTask, EditTask, ReopenTask
from app.tasks.events import TaskCompleted, TaskEdited
from streams.policies.recurrence import PolicyLoop
from tests.spec import TASK_ID
from tests.streams.policy_world import PARTITIONS, MemoryReadModels, Worker, World
from tests.streams.recurring_task import DAILY, FIRST, SECOND, do, settle, written


class Poisoned(MemoryReadModels):
    """Read models with an unreadable row."""

    poison: str = ""

    async def reacting(self, *arguments: Any) -> Sequence[Any]:
        rows = await super().reacting(*arguments)
        return [replace(row, state=b"{}") if row.stream == self.poison else row for row in rows]


async def test_unreadable_row_does_not_delay_others() -> None:
    """It holds the checkpoint, and is retried until it can be read."""
    world = World()
    world.reads = reads = Poisoned(world.log)
    reads.poison = FIRST
    keys = [TASK_ID, *(f"other-{number}" for number in range(20))]
    await world.begin(*[DAILY for _ in keys], keys=keys)
    worker = Worker(world)
    for key in keys:
        await world.append(f"task:{key}", TaskCompleted(), 2)
    await settle(world, worker)
    assert len(written(world)) == 20
    partition = world.log.partition_of(FIRST)
    assert reads.saved[partition] < (await world.log.ends())[partition]
    reads.poison = ""
    await worker.crash()
    await settle(world, worker)
    assert written(world) == [("task.created", "accepted")] * 21
    assert await world.is_through()


class Refusing(World):
    """A world whose log refuses records of a stream, as too large ones, or is unavailable altogether."""

    refused: str = ""
    away: bool = False

    async def refuse(self, records: Sequence[Record]) -> None:
        if self.away:
            raise Unavailable("the broker went away")
        if any(record.stream == self.refused for record in records):
            raise ValueError("too large")


async def test_refused_record_does_not_delay_others() -> None:
    """It is written when the log accepts it."""
    world = Refusing()
    keys = [f"task-{number}" for number in range(5)]
    await world.begin(*[DAILY for _ in keys], keys=keys)
    append = world.log.append

    async def gated(records: Sequence[Record], *, partition: int | None = None) -> list[Position]:
        await world.refuse(records)
        return await append(records, partition=partition)

    worker = Worker(world)
    for key in keys:
        await world.append(f"task:{key}", TaskCompleted(), 2)
    world.log.append = gated  # type: ignore[method-assign]
    world.refused = f"task:{derived_id('occurrence', keys[2], '2')}"
    await settle(world, worker)
    assert len(written(world)) == 4
    world.refused, world.away = "", True
    with pytest.raises(Unavailable):
        await settle(world, worker)
    world.away = False
    await settle(world, worker)
    assert written(world) == [("task.created", "accepted")] * 5
    assert await world.is_through()


async def test_irrelevant_records_cost_no_query() -> None:
    """The checkpoint follows the received records, and is saved now and then."""
    world = World()
    await world.begin(DAILY, keys=[TASK_ID])
    asked: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(world.reads if hasattr(MemoryReadModels, name) else world.log, name)

    now_s = 0.0
    reads: Any = Counting()
    loop = PolicyLoop(
        reads,
        reads,
        lambda: frozenset(range(PARTITIONS)),
        clock=world.clock,
        monotonic_s=lambda: now_s,
    )
    world.listeners.append(loop.on_committed)
    assert await loop.round() > 0
    asked.clear()
    for version in range(2, 100):
        await world.append(FIRST, TaskEdited({"title": f"v{version}"}), version)
        world.project_all()
        assert await loop.round() > 0
    assert asked == []
    now_s = 60.0
    await loop.round()
    assert asked == ["projected", "advance"]
    assert await world.is_through()


async def test_accepted_event_that_is_not_visible_yet_is_not_written_again(
    world: World, worker: Worker
) -> None:
    """After a crash a worker waits until the read models are at the log's end."""
    await world.command(FIRST, CompleteTask())
    world.project(world.log.partition_of(FIRST), 10)
    for _ in range(40):
        await worker.step()
    assert len(written(world)) == 1
    await worker.crash()
    await worker.finish()
    await worker.finish()
    assert len(written(world)) == 1
    await settle(world, worker)
    assert written(world) == [("task.created", "accepted")]


async def test_records_without_a_notice_are_found_by_polling(world: World, worker: Worker) -> None:
    """Another worker may have projected a partition of ours."""
    await worker.finish()
    await world.append(FIRST, TaskCompleted(), 2)
    world.reads.project(world.log.partition_of(FIRST), 10)
    await worker.finish()
    await worker.finish()
    assert written(world) == [("task.created", "accepted")]


async def test_worker_acquires_and_releases_partitions(world: World, worker: Worker) -> None:
    """It reacts for its own ones, from the checkpoint of the previous worker."""
    await world.append(FIRST, TaskCompleted(), 2)
    worker.assigned = frozenset(range(PARTITIONS)) - {world.log.partition_of(FIRST)}
    await settle(world, worker)
    assert written(world) == []
    worker.assigned = frozenset(range(PARTITIONS))
    await settle(world, worker)
    assert written(world) == [("task.created", "accepted")]


async def test_rebuilt_read_models_cause_no_events(world: World, worker: Worker) -> None:
    """Nor do lost checkpoints: the log has the earlier reactions."""
    await do(world, worker, FIRST, CompleteTask(), ReopenTask(), EditTask(title="New"), CompleteTask())
    await do(world, worker, SECOND, CompleteTask())
    before = len(world.log.records)
    for saved in (dict(world.reads.saved), {}):
        world.reads = MemoryReadModels(world.log)
        world.reads.saved = saved
        for most in (1, 3, 10_000):
            for partition in range(PARTITIONS):
                world.project(partition, most)
            await worker.crash()
            await worker.finish()
        await settle(world, worker)
    assert len(world.log.records) == before
