"""Recurrence with several workers, in any order of their steps."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import TaskError
from app.policies import SOURCE
from app.tasks.commands import (
    CompleteTask,
    DeleteTask,
    EditTask,
    ReopenTask,
    RestoreTask,
    SkipOccurrence,
    TaskCommand,
)
from app.tasks.events import TaskCompleted, TaskCreated, TaskMoved, TaskReopened
from app.tasks.series import next_id, next_occurrence
from app.tasks.state import Task
from tests.spec import LIST_ID, TASK_ID
from tests.streams.policies.test_recurrence import delete_or_restore
from tests.streams.policy_world import PARTITIONS, Worker, World
from tests.streams.recurring_task import DAILY, FIRST, settle
from tests.thoroughness import examples

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
