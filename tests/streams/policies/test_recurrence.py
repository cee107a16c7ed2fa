"""Recurrence: what follows the completion of an occurrence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.ids import derived_id
from app.lists.events import ListDeleted, ListRestored
from app.policies import SOURCE
from app.tasks.commands import (
    Comment,
    CompleteTask,
    DeleteTask,
    EditTask,
    ReopenTask,
    SkipOccurrence,
    TaskCommand,
)
from app.tasks.events import TaskCompleted, TaskCreated, TaskMoved
from app.tasks.series import next_id, next_occurrence
from tests.spec import LIST_ID, OTHER_LIST_ID, TASK_ID, record_of
from tests.streams.policy_world import Worker, World
from tests.streams.recurring_task import DAILY, FIRST, SECOND, SECOND_ID, do, settle, written


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
