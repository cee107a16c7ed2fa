"""Policies as pure functions: records they react to, and resulting events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.ids import derived_id
from app.lists.events import Stage
from app.log.fold import Fold, Folded
from app.policies import Cause, Successor, event_id, follows, reacts
from app.positions import Position
from app.tasks.events import (
    Series,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskReopened,
    TaskRestored,
    TaskUndone,
)
from app.tasks.series import next_id, next_occurrence
from tests.spec import HOME, LIST_ID, START, TASK_ID, raw_of, record_of, task_after

WEEKLY = TaskCreated(LIST_ID, "Water", due="2026-03-02", recurrence="FREQ=WEEKLY")
DONE = task_after(WEEKLY, TaskCompleted())
NEXT_ID = derived_id("occurrence", TASK_ID, "2")


def last_of(*events: TaskEvent, **given: Any) -> Folded:
    """Return the last of these records, folded after the others."""
    fold = Fold()
    for version, event in enumerate(events, start=1):
        record = record_of(event, version, **(given if version == len(events) else {}))
        folded = fold.apply(raw_of(record, version), record)
    return folded


@pytest.mark.parametrize(
    "events",
    [
        (WEEKLY, TaskCompleted()),
        (WEEKLY, TaskCompleted(), TaskReopened()),
        (WEEKLY, TaskEdited({"stage": "Done", "status": "done"})),
        (WEEKLY, TaskMoved(LIST_ID, stage="Done", status="done")),
        (WEEKLY, TaskCompleted(), TaskUndone(2, {"status": "open"})),
        (WEEKLY, TaskEdited({"status": "done", "recurrence": None})),
    ],
)
def test_policy_reacts_to_completing_and_reopening(events: tuple[TaskEvent, ...]) -> None:
    """By a command, by a stage, or by an undo."""
    assert reacts(last_of(*events))


@pytest.mark.parametrize(
    "events",
    [
        (WEEKLY,),
        (WEEKLY, TaskEdited({"title": "Feed"})),
        (replace(WEEKLY, recurrence=None), TaskCompleted()),
        (WEEKLY, TaskCompleted(), TaskEdited({"title": "Feed"})),
        (WEEKLY, TaskDeleted()),
    ],
)
def test_policy_ignores_other_records(events: tuple[TaskEvent, ...]) -> None:
    """Also unaccepted and imported ones."""
    assert not reacts(last_of(*events))
    assert not reacts(last_of(WEEKLY, TaskCompleted(), source="/tasktape/import/todo.txt"))
    assert not reacts(replace(last_of(WEEKLY, TaskCompleted()), outcome="superseded"))


def cause(*events: TaskEvent, series: Series | None = None) -> Cause:
    task = task_after(*events)
    return Cause(Position(0, 0), "cause", task.version, "alice", None, task, series or task.series)


COMPLETED = cause(WEEKLY, TaskCompleted())
OPENED = cause(WEEKLY, TaskCompleted(), TaskReopened())


def successor(*, deleted: bool = False, **given: Any) -> Successor:
    created = next_occurrence(DONE, None)
    assert created is not None
    task = replace(task_after(created), id=NEXT_ID, deleted_at=START if deleted else None)
    return replace(Successor(task, touched=False, event_ids=frozenset(), newest_cause=0), **given)


def test_completion_creates_the_next_occurrence() -> None:
    """In the first open stage of the list, whatever the stage of the previous one."""
    stages: tuple[Stage, ...] = (
        {"name": "Later", "category": "active"},
        {"name": "To do", "category": "open"},
    )
    home = replace(HOME, stages=stages)
    assert COMPLETED.next_id == next_id(Series(TASK_ID, 1, None)) == NEXT_ID
    assert follows(COMPLETED, None, HOME, None) == next_occurrence(DONE, None)
    assert follows(COMPLETED, None, home, None) == next_occurrence(DONE, "To do")


def test_nothing_is_created_in_a_list_that_never_existed() -> None:
    assert follows(COMPLETED, None, None, None) is None


def test_next_occurrence_is_created_in_a_deleted_list_too() -> None:
    """The list may be restored, with complete series."""
    deleted = replace(HOME, deleted_at=START)
    assert follows(COMPLETED, None, deleted, None) == next_occurrence(DONE, None)
    assert follows(COMPLETED, successor(deleted=True), deleted, None) == TaskRestored()


def test_occurrence_completed_with_its_parent_has_no_next_one() -> None:
    """It would be open below a done task. Reopened with its parent, the existing next one is deleted."""
    assert follows(replace(COMPLETED, came_along=True), None, HOME, None) is None
    assert follows(replace(COMPLETED, came_along=True), successor(deleted=True), HOME, None) is None
    assert follows(replace(OPENED, came_along=True), successor(), HOME, None) == TaskDeleted()


def test_existing_occurrence_is_not_created_again() -> None:
    """Nor a deleted one, nor one of a later event."""
    assert follows(COMPLETED, successor(), HOME, None) is None
    assert follows(COMPLETED, successor(deleted=True, touched=True), HOME, None) is None
    assert follows(COMPLETED, successor(deleted=True, newest_cause=3), HOME, None) is None


def test_reopening_deletes_the_untouched_next_occurrence() -> None:
    """And no other."""
    assert follows(OPENED, successor(), HOME, None) == TaskDeleted()
    assert follows(OPENED, None, HOME, None) is None
    assert follows(OPENED, successor(touched=True), HOME, None) is None
    assert follows(OPENED, successor(deleted=True), HOME, None) is None
    assert follows(OPENED, successor(newest_cause=4), HOME, None) is None


def test_deleted_next_occurrence_is_restored() -> None:
    """In its initial state: changed fields are set first, and restoring comes last."""
    assert follows(COMPLETED, successor(deleted=True), HOME, None) == TaskRestored()
    renamed = cause(WEEKLY, TaskEdited({"title": "Feed", "tags": ("x",)}), TaskCompleted())
    assert follows(renamed, successor(deleted=True), HOME, None) == TaskEdited(
        {"title": "Feed", "tags": ("x",)}
    )
    moved = cause(WEEKLY, TaskMoved(LIST_ID, rank="zz"), TaskCompleted())
    assert isinstance(follows(moved, successor(deleted=True), HOME, None), TaskMoved)


def test_accepted_event_is_not_written_again() -> None:
    """The same event twice would be superseded for ever."""
    known = frozenset({event_id(COMPLETED, "task.restored")})
    assert follows(COMPLETED, successor(deleted=True, event_ids=known), HOME, None) is None


def test_series_at_the_time_of_completion_counts() -> None:
    """Reopening a task and ending its series in one edit deletes the next one all the same."""
    ended = cause(
        WEEKLY,
        TaskCompleted(),
        TaskEdited({"status": "open", "recurrence": None}),
        series=Series(TASK_ID, 1, "2026-03-02"),
    )
    assert ended.next_id == NEXT_ID
    assert follows(ended, successor(), HOME, None) == TaskDeleted()


def test_sub_task_has_the_parent_of_the_series() -> None:
    """If it exists; a parent of one occurrence is not inherited."""
    child = cause(replace(WEEKLY, parent_id="parent"), TaskCompleted())
    once = cause(
        replace(WEEKLY, parent_id="parent"),
        TaskEdited({"parent_id": None}, this_only=("parent_id",)),
        TaskCompleted(),
    )
    parent = replace(task_after(TaskCreated(LIST_ID, "Parent")), id="parent")
    for each in (child, once):
        assert each.parent == "task:parent"
        created = follows(each, None, HOME, parent)
        assert isinstance(created, TaskCreated)
        assert created.parent_id == "parent"
        for gone in (None, replace(parent, deleted_at=START), replace(parent, list_id="other")):
            created = follows(each, None, HOME, gone)
            assert isinstance(created, TaskCreated)
            assert created.parent_id is None
