"""Recurrence policy, step by step, under any interleaving."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import TaskError, Unavailable
from app.ids import derived_id
from app.lists.events import ListDeleted, ListRestored
from app.log.records import Record
from app.policies import SOURCE
from app.positions import Position
from app.tasks.commands import (
    Comment,
    CompleteTask,
    DeleteTask,
    EditTask,
    ReopenTask,
    RestoreTask,
    SkipOccurrence,
    TaskCommand,
)
from app.tasks.events import TaskCompleted, TaskCreated, TaskEdited, TaskMoved, TaskReopened
from app.tasks.series import next_id, next_occurrence
from app.tasks.state import Task
from streams.policies.recurrence import PolicyLoop
from tests.spec import LIST_ID, OTHER_LIST_ID, TASK_ID, record_of
from tests.streams.policy_world import PARTITIONS, MemoryReadModels, Worker, World
from tests.thoroughness import examples

DAILY = TaskCreated(LIST_ID, "Water", due="2026-03-02", recurrence="FREQ=DAILY;COUNT=4")
FIRST = f"task:{TASK_ID}"
SECOND_ID = derived_id("occurrence", TASK_ID, "2")
SECOND = f"task:{SECOND_ID}"


@pytest.fixture
async def world() -> World:
    world = World()
    await world.begin(DAILY, keys=[TASK_ID])
    return world


@pytest.fixture
def worker(world: World) -> Worker:
    return Worker(world)


async def settle(world: World, *workers: Worker) -> None:
    """Run all workers until nothing is left to do."""
    for _ in range(30):
        before = (len(world.log.records), dict(world.reads.saved))
        world.project_all()
        for worker in workers:
            await worker.finish()
        if before == (len(world.log.records), world.reads.saved):
            return
    raise AssertionError("it does not come to an end")


async def do(world: World, worker: Worker, stream: str, *commands: TaskCommand) -> None:
    """Execute commands, each with all of its consequences."""
    for command in commands:
        await world.command(stream, command)
        await settle(world, worker)


def written(world: World) -> list[tuple[str, str]]:
    """Return types and outcomes of the events written by policies."""
    return [(each.record.type, each.outcome) for each in world.policy_records() if each.record is not None]


# --- what follows ------------------------------------------------------------------------------------------


async def test_completing_creates_the_next_occurrence(world: World, worker: Worker) -> None:
    """It names its cause and the cause's actor."""
    await world.append(FIRST, TaskCompleted(), 2, actor="bob", correlation_id="request-7")
    await settle(world, worker)
    [folded] = world.policy_records()
    record = folded.record
    assert record is not None
    assert folded.outcome == "accepted"
    assert (record.id, record.stream, record.version, record.actor, record.source) == (
        derived_id("policy", "event-2", "task.created"),
        SECOND,
        1,
        "bob",
        SOURCE,
    )
    assert (record.causation_id, record.correlation_id) == ("event-2", "request-7")
    assert record.data == next_occurrence(world.tasks()[TASK_ID], None)


async def test_reopening_deletes_the_next_occurrence(world: World, worker: Worker) -> None:
    """And completing again restores the same one."""
    await do(world, worker, FIRST, CompleteTask(), ReopenTask())
    assert world.tasks()[SECOND_ID].deleted_at is not None
    await do(world, worker, FIRST, CompleteTask())
    assert world.tasks()[SECOND_ID].deleted_at is None
    assert written(world) == [
        ("task.created", "accepted"),
        ("task.deleted", "accepted"),
        ("task.restored", "accepted"),
    ]


async def test_restored_occurrence_has_the_current_values_of_the_series(world: World, worker: Worker) -> None:
    """Of an occurrence that was reopened and edited."""
    await do(world, worker, FIRST, CompleteTask(), ReopenTask())
    await do(world, worker, FIRST, EditTask(title="Feed", due="2026-04-01", tags=("x",), scope="following"))
    await world.append(FIRST, TaskMoved(LIST_ID, rank="zz"), 5)
    world.project_all()
    await do(world, worker, FIRST, CompleteTask())
    second = world.tasks()[SECOND_ID]
    wanted = next_occurrence(world.tasks()[TASK_ID], None)
    assert wanted is not None
    assert second.deleted_at is None
    assert (second.title, second.due, second.tags, second.rank, second.series, second.recurrence) == (
        "Feed",
        "2026-04-02",
        ("x",),
        wanted.rank,
        wanted.series,
        wanted.recurrence,
    )
    assert [kind for kind, _ in written(world)][2:] == ["task.moved", "task.edited", "task.restored"]


@pytest.mark.parametrize(
    "touch", [EditTask(title="Mine"), Comment(comment_id=LIST_ID, text="Mine"), CompleteTask(), DeleteTask()]
)
async def test_edited_next_occurrence_stays(world: World, worker: Worker, touch: TaskCommand) -> None:
    """It is neither deleted nor restored by the policy."""
    await do(world, worker, FIRST, CompleteTask())
    await do(world, worker, SECOND, touch)
    before = world.tasks()[SECOND_ID]
    await do(world, worker, FIRST, ReopenTask(), CompleteTask())
    assert world.tasks()[SECOND_ID] == before


async def test_next_occurrence_with_sub_tasks_stays(world: World, worker: Worker) -> None:
    """They would lose their parent."""
    await do(world, worker, FIRST, CompleteTask())
    await world.append("task:child", TaskCreated(LIST_ID, "Rinse", parent_id=SECOND_ID), 1)
    await do(world, worker, FIRST, ReopenTask())
    assert world.tasks()[SECOND_ID].deleted_at is None


async def test_ended_series_has_no_next_occurrence(world: World, worker: Worker) -> None:
    """With COUNT=4 there are four."""
    task_id: str | None = TASK_ID
    while task_id is not None:
        await do(world, worker, f"task:{task_id}", CompleteTask())
        series = world.tasks()[task_id].series
        assert series is not None
        task_id = next_id(series) if next_id(series) in world.tasks() else None
    chain = sorted(world.tasks().values(), key=lambda task: str(task.due))
    assert [task.due for task in chain] == ["2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05"]
    assert [task.recurrence for task in chain][-1] == "FREQ=DAILY;COUNT=1"


@pytest.mark.parametrize("seen", ["before", "between", "after"])
async def test_series_continues_once_whether_its_list_is_deleted_or_restored(
    world: World, worker: Worker, seen: str
) -> None:
    """Whenever the worker looks, each completion has one next occurrence."""
    await world.append(FIRST, TaskCompleted(), 2)
    if seen == "before":
        await settle(world, worker)
    await delete_or_restore(world)
    if seen == "between":
        await settle(world, worker)
    await delete_or_restore(world)
    await settle(world, worker)
    assert written(world) == [("task.created", "accepted")]
    assert world.tasks()[SECOND_ID].deleted_at is None


async def delete_or_restore(world: World) -> None:
    """Delete the list, or restore it if it is deleted."""
    events = [raw for raw in world.log.records if raw.stream == f"list:{LIST_ID}"]
    event = ListRestored() if len(events) % 2 == 0 else ListDeleted()
    version = len(events) + 1
    await world.log.append([record_of(event, version, id=f"list-{version}", stream=f"list:{LIST_ID}")])


async def test_missing_parent_is_not_inherited(world: World, worker: Worker) -> None:
    """The next occurrence is a top-level task then; an existing parent is inherited."""
    for version, (parent, kept) in enumerate((("elsewhere", None), ("here", "here")), start=2):
        list_id = OTHER_LIST_ID if parent == "elsewhere" else LIST_ID
        await world.append(f"task:{parent}", TaskCreated(list_id, "Parent"), 1)
        await world.append(f"task:{parent}-1", replace(DAILY, parent_id=parent), 1)
        await world.append(f"task:{parent}-1", TaskCompleted(), version)
        await world.append(f"task:{parent}-1", TaskCompleted(), 2)
        await settle(world, worker)
        assert world.tasks()[derived_id("occurrence", f"{parent}-1", "2")].parent_id == kept


async def test_imported_history_creates_nothing(world: World, worker: Worker) -> None:
    await world.append(FIRST, TaskCompleted(), 2, source="/tasktape/import/todo.txt")
    await settle(world, worker)
    assert written(world) == []


async def test_skipped_occurrence_has_a_successor(world: World, worker: Worker) -> None:
    """The third comes after the second, though the second never was a task of its own."""
    await do(world, worker, FIRST, SkipOccurrence(), CompleteTask())
    assert SECOND_ID not in world.tasks()
    assert world.tasks()[derived_id("occurrence", TASK_ID, "3")].due == "2026-03-04"


# --- whatever goes wrong -----------------------------------------------------------------------------------


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


# --- any interleaving --------------------------------------------------------------------------------------

wishes = st.one_of(
    st.builds(
        EditTask,
        title=st.sampled_from(["a", "b"]),
        due=st.sampled_from(["2026-03-02", "2026-03-05"]),
        scope=st.sampled_from(["this", "following"]),
    ),
    st.just(SkipOccurrence()),
    st.sampled_from([DeleteTask(), RestoreTask()]),
    st.builds(TaskMoved, st.just(LIST_ID), rank=st.sampled_from(["b", "c"])),
)
first_or_any = st.sampled_from([0, 0, 0, 1, 2, 3])
workers_steps = st.tuples(st.just("step"), st.integers(0, 1), st.sampled_from([1, 2, 5, 9, 20]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("toggle"), first_or_any),
        st.tuples(st.just("wish"), first_or_any, wishes),
        st.tuples(st.just("project"), st.integers(0, PARTITIONS - 1), st.integers(1, 5)),
        st.just(("project all",)),
        st.tuples(st.just("project quietly"), st.integers(0, PARTITIONS - 1), st.integers(1, 5)),
        st.tuples(st.just("assign"), st.integers(0, 1), st.sets(st.integers(0, PARTITIONS - 1))),
        workers_steps,
        workers_steps,
        st.tuples(st.just("crash"), st.integers(0, 1)),
        st.tuples(st.just("duplicate"), st.integers(0, 40)),
        st.just(("delete or restore the list",)),
    ),
    min_size=20,
    max_size=100,
)


@given(steps=steps)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
async def test_interleaved_workers_do_what_one_would(steps: list[Any]) -> None:
    """Stale read models, crashes at any step, duplicates, lost races: one next occurrence a completion."""
    world = World()
    await world.begin(replace(DAILY, recurrence="FREQ=DAILY"), DAILY, keys=[TASK_ID, "counted"])
    workers = [Worker(world), Worker(world)]
    for step in steps:
        await take(world, workers, step)
    for each in workers:
        each.assigned = frozenset(range(PARTITIONS))
        await each.finish()
    await settle(world, *workers)
    check(world)
    assert await world.is_through()


async def take(world: World, workers: Sequence[Worker], step: Any) -> None:
    """Execute one step of a user or a worker."""
    match step:
        case ("toggle", index):
            await toggle(world, index)
        case ("wish", index, command):
            await wish(world, index, command)
        case ("project all",):
            world.project_all()
        case ("project quietly", partition, most):
            world.reads.project(partition, most)
        case ("assign", who, partitions):
            workers[who].assigned = frozenset(partitions)
        case ("project", partition, most):
            world.project(partition, most)
        case ("step", who, count):
            for _ in range(count):
                await workers[who].step()
        case ("crash", who):
            await workers[who].crash()
        case ("delete or restore the list",):
            await delete_or_restore(world)
        case ("duplicate", index) if index < len(world.log.records):
            await world.log.append_again([world.log.records[index]])


def stream_at(world: World, index: int) -> str:
    streams = sorted(f"task:{task_id}" for task_id in world.tasks())
    return FIRST if index == 0 else streams[index % len(streams)]


async def toggle(world: World, index: int) -> None:
    """Complete a task or reopen it, according to the read models."""
    state = world.reads.state(stream_at(world, index))
    if isinstance(state, Task):
        await wish(world, index, CompleteTask() if state.status == "open" else ReopenTask())


async def wish(world: World, index: int, wanted: TaskCommand | TaskMoved) -> None:
    """Execute a random command on a task, according to the read models; refusals are ignored."""
    stream = stream_at(world, index)
    state = world.reads.state(stream)
    if state is None:
        return
    if isinstance(wanted, TaskMoved):
        await world.append(stream, wanted, state.version + 1)
        return
    with contextlib.suppress(TaskError):
        await world.command(stream, wanted)


def check(world: World) -> None:
    """Check that every completion has its next occurrence, and that there are no others."""
    tasks = world.tasks()
    touched = {
        each.record.stream.key
        for each in world.outcome()[1]
        if each.outcome == "accepted" and each.record is not None and each.record.source != SOURCE
    }
    places: dict[str, set[str]] = {}
    for each in world.outcome()[1]:
        if isinstance(each.after, Task) and each.after.series is not None:
            places.setdefault(next_id(each.after.series), set()).add(each.after.id)
    for task in tasks.values():
        if task.series is None:
            continue
        following = tasks.get(next_id(task.series))
        wanted = next_occurrence(task, None) if task.status == "done" else None
        if wanted is not None:
            assert following is not None
        if following is None or following.id in touched or len(places[following.id]) > 1:
            # Skipping may have brought two tasks to one place of the series: the next one was that of both.
            continue
        assert (following.deleted_at is None) == (wanted is not None)
        if wanted is not None and last_flip(world, task) == task.version:
            assert beginning_of(following) == wanted


def last_flip(world: World, task: Task) -> int:
    """Return the version at which a task was last completed or reopened."""
    flips = [
        each.record.version
        for each in world.outcome()[1]
        if each.outcome == "accepted"
        and each.record is not None
        and each.record.stream.key == task.id
        and isinstance(each.record.data, TaskCompleted | TaskReopened)
    ]
    return max(flips, default=0)


def beginning_of(task: Task) -> TaskCreated:
    """Return the initial state of a task with these values."""
    names = [name for name in TaskCreated.__dataclass_fields__ if name not in {"type", "notify"}]
    return TaskCreated(**{name: getattr(task, name) for name in names})
