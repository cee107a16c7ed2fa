"""`If-Match`: what may still be applied to a task that has changed meanwhile."""

from __future__ import annotations

import pytest

from app import merge
from app.errors import Conflict, PreconditionFailed
from app.task_commands import (
    CompleteTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    RestoreTask,
    TaskCommand,
)
from app.tasks import TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskEvent, TaskMoved, TaskReopened
from tests.spec import LIST_ID, OTHER_LIST_ID, task_after

CREATED = TaskCreated(list_id=LIST_ID, title="T", notes="N")
BASE = task_after(CREATED)


@pytest.mark.parametrize(
    ("theirs", "yours"),
    [
        (TaskEdited({"notes": "M"}), EditTask(title="U")),
        (TaskEdited({"title": "U"}), EditTask(title="U")),
        (TaskEdited({"title": "U"}), EditTask()),
        (TaskEdited({"title": "U"}), CompleteTask()),
        (TaskCompleted(), EditTask(title="U")),
        (TaskCompleted(), CompleteTask()),
        (TaskMoved(OTHER_LIST_ID), MoveTask(list_id=OTHER_LIST_ID)),
        (TaskDeleted(), RestoreTask()),
    ],
)
def test_disjoint_and_equal_changes_merge(theirs: TaskEvent, yours: TaskCommand) -> None:
    """Different fields, or the same value for the same field, are no conflict."""
    merge.merged(yours, BASE, task_after(CREATED, theirs))


@pytest.mark.parametrize(
    ("theirs", "yours", "base_value", "their_value", "your_value"),
    [
        (TaskEdited({"title": "U"}), EditTask(title="V"), {"title": "T"}, {"title": "U"}, {"title": "V"}),
        (
            TaskEdited({"notes": "M", "title": "U"}),
            EditTask(notes=None, priority="low"),
            {"notes": "N"},
            {"notes": "M"},
            {"notes": ""},
        ),
        (
            TaskMoved(OTHER_LIST_ID),
            MoveTask(list_id=LIST_ID),
            {"list_id": LIST_ID},
            {"list_id": OTHER_LIST_ID},
            {"list_id": LIST_ID},
        ),
        (TaskCompleted(), ReopenTask(), {"status": "open"}, {"status": "done"}, {"status": "open"}),
    ],
)
def test_overlapping_changes_conflict(
    theirs: TaskEvent,
    yours: TaskCommand,
    base_value: dict[str, object],
    their_value: dict[str, object],
    your_value: dict[str, object],
) -> None:
    """A conflict shows base, theirs and yours of exactly the fields that overlap."""
    with pytest.raises(Conflict, match="since version 1") as caught:
        merge.merged(yours, BASE, task_after(CREATED, theirs))
    assert (caught.value.base, caught.value.theirs, caught.value.yours) == (
        base_value,
        their_value,
        your_value,
    )


def test_changed_and_changed_back_is_no_change() -> None:
    """What is as it was does not stand in the way."""
    current = task_after(CREATED, TaskCompleted(), TaskReopened())
    merge.merged(CompleteTask(), BASE, current)
    merge.merged(DeleteTask(), BASE, current)


def test_deleting_what_has_changed_is_refused() -> None:
    """Nobody deletes what they have not seen."""
    merge.merged(DeleteTask(), BASE, BASE)
    with pytest.raises(PreconditionFailed, match="version 2"):
        merge.merged(DeleteTask(), BASE, task_after(CREATED, TaskEdited({"notes": "M"})))
