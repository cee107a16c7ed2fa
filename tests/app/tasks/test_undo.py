"""Decisions that take back: undo of own changes, and reverts to earlier versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import Conflict, Forbidden, NotFound
from app.lists.events import Stage
from app.tasks.commands import (
    RevertTask,
    UndoChange,
)
from app.tasks.decision_context import Change, PastEvent
from app.tasks.events import (
    TaskCommented,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskReopened,
    TaskReverted,
    TaskUndone,
    UndoneFields,
)
from app.tasks.undo import newest_change
from tests.app.tasks.examples import (
    COMMENT_ID,
    CREATED,
    IN_DOING,
    PARENT_ID,
    STAGED,
    STAGES,
    change,
    line,
)
from tests.spec import HOME, LIST_ID, OTHER_LIST_ID, given, task_after

# --- revert ----------------------------------------------------------------------------------------------


def since(*past: TaskEvent, version: int) -> Change:
    """Return all changes since a version of a history."""
    return Change("bob", task_after(*past[:version]), task_after(*past))


def test_revert_returns_a_task_to_an_earlier_version() -> None:
    """Whoever changed it since, also if it was deleted; in one event with the fields that differ."""
    past = (CREATED, TaskEdited({"title": "U", "tags": ("a",)}), TaskCompleted(), TaskDeleted())
    given(*past).when(RevertTask(version=1), change=since(*past, version=1)).then(
        TaskReverted(
            1, {"title": "T", "status": "open", "tags": (), "completed_at": None, "deleted_at": None}
        )
    )
    given(*past).when(RevertTask(version=4), change=since(*past, version=4)).then_nothing()
    given(*past).when(RevertTask(version=9)).then_refused(NotFound, "version 9")


def test_revert_adapts_what_no_longer_fits() -> None:
    """A stage that is gone or has another category, and assignees who have left."""
    past = (TaskCreated(LIST_ID, "T", stage="Gone", assignees=("alice", "bob")), TaskEdited({"title": "U"}))
    stages: tuple[Stage, ...] = ({"name": "Now", "category": "open"},)
    home = replace(HOME, stages=stages)
    given(*past).when(RevertTask(version=1), home=home, change=since(*past, version=1)).then(
        TaskReverted(1, {"title": "T", "stage": "Now", "assignees": ("alice",)})
    )


def test_revert_refuses_what_is_not_possible() -> None:
    """A parent that is gone, and a done task with open sub-tasks."""
    past = (CREATED, TaskEdited({"parent_id": PARENT_ID}), TaskEdited({"parent_id": None}))
    given(*past).when(RevertTask(version=2), change=since(*past, version=2)).then_refused(
        Conflict, "same list"
    )
    reopened = (CREATED, TaskCompleted(), TaskReopened())
    revert = given(*reopened).when(RevertTask(version=2), change=since(*reopened, version=2), open_children=1)
    revert.then_refused(Conflict, "1 open sub-task")


# --- undo ------------------------------------------------------------------------------------------------


def test_undo_restores_the_previous_values() -> None:
    """For each kind of change, in one event that names the fields."""
    changes: tuple[tuple[TaskEvent, UndoneFields], ...] = (
        (TaskEdited({"title": "U", "tags": ("a",)}), {"title": "T", "tags": ()}),
        (TaskCompleted(stage="Done"), {"status": "open", "stage": None, "completed_at": None}),
        (TaskMoved(OTHER_LIST_ID, rank="m"), {"list_id": LIST_ID, "rank": task_after(CREATED).rank}),
        (TaskDeleted(), {"deleted_at": None}),
    )
    for event, fields in changes:
        past: tuple[TaskEvent, ...] = (CREATED, event)
        undone = (
            given(*past)
            .when(UndoChange(version=2), change=change(*past, version=2))
            .then(TaskUndone(2, fields))
        )
        assert isinstance(undone, TaskUndone)
        now, then = task_after(*past, undone), task_after(CREATED)
        assert replace(now, version=1, updated_at=then.updated_at) == then


def test_undo_of_an_undo_is_a_redo() -> None:
    """Nothing is lost."""
    past: tuple[TaskEvent, ...] = (CREATED, TaskEdited({"title": "U"}), TaskUndone(2, {"title": "T"}))
    given(*past).when(UndoChange(version=3), change=change(*past, version=3)).then(
        TaskUndone(3, {"title": "U"})
    )


def test_undo_of_a_creation_deletes() -> None:
    """The task can be restored."""
    given(CREATED).when(UndoChange(version=1), change=change(CREATED, version=1)).then(TaskDeleted())


def test_undo_applies_to_own_current_changes() -> None:
    """Not another user's, not one that was changed again, not one without fields."""
    past: tuple[TaskEvent, ...] = (CREATED, TaskEdited({"title": "U"}), TaskEdited({"title": "V"}))
    undo = UndoChange(version=2)
    given(*past).when(undo, change=change(*past, version=2, actor="bob")).then_refused(Forbidden, "bob's")
    refused = given(*past).when(undo, change=change(*past, version=2))
    with pytest.raises(Conflict, match="title changed again") as caught:
        refused.decide()
    assert (caught.value.base, caught.value.theirs, caught.value.yours) == (
        {"title": "U"},
        {"title": "V"},
        {"title": "T"},
    )
    given(*past).when(UndoChange(version=9)).then_refused(NotFound, "version 9")
    said: tuple[TaskEvent, ...] = (CREATED, TaskCommented(COMMENT_ID, "x"))
    given(*said).when(undo, change=change(*said, version=2)).then_refused(Conflict, "comment")


def test_impossible_undo_is_refused() -> None:
    """A deleted task, an open sub-task, a missing parent or stage."""
    edited: tuple[TaskEvent, ...] = (CREATED, TaskEdited({"title": "U"}), TaskDeleted())
    given(*edited).when(UndoChange(version=2), change=change(*edited, version=2)).then_refused(
        NotFound, "restore"
    )
    given(*edited).when(UndoChange(version=1), change=change(*edited, version=1)).then_nothing()
    given(CREATED).when(
        UndoChange(version=1), change=change(CREATED, version=1), open_children=1
    ).then_refused(Conflict, "1 open sub-task; complete or delete")
    reopened: tuple[TaskEvent, ...] = (CREATED, TaskCompleted(), TaskReopened())
    undo = given(*reopened).when(UndoChange(), change=change(*reopened, version=3), open_children=2)
    undo.then_refused(Conflict, "2 open sub-tasks")
    child = TaskCreated(list_id=LIST_ID, title="T", parent_id=PARENT_ID)
    freed: tuple[TaskEvent, ...] = (child, TaskEdited({"parent_id": None}))
    given(*freed).when(UndoChange(), change=change(*freed, version=2)).then_refused(Conflict, "same list")
    given(*freed).when(UndoChange(), change=change(*freed, version=2), ancestors=line(1)).then(
        TaskUndone(2, {"parent_id": PARENT_ID})
    )
    staged: tuple[TaskEvent, ...] = (IN_DOING, TaskEdited({"stage": "Backlog"}))
    left = replace(STAGED, stages=STAGES[:1])
    given(*staged).when(UndoChange(), home=left, change=change(*staged, version=2)).then_refused(
        Conflict, "must be one of this list's"
    )


def test_undo_without_changes_is_refused() -> None:
    given(CREATED).when(UndoChange()).then_refused(Conflict, "you have no change to undo")


def past_of(*events: tuple[str, str, int | None]) -> list[PastEvent]:
    """Return events from the newest to the oldest, of (type, actor, undone event)."""
    numbered = [PastEvent(version, *event) for version, event in enumerate(events, start=1)]
    return numbered[::-1]


@pytest.mark.parametrize(
    ("events", "newest"),
    [
        ((), None),
        ((("created", "alice", None),), 1),
        ((("created", "bob", None),), None),
        ((("created", "alice", None), ("edited", "alice", None), ("edited", "bob", None)), 2),
        ((("created", "alice", None), ("commented", "alice", None), ("reminded", "alice", None)), 1),
        ((("created", "bob", None), ("edited", "alice", None), ("undone", "alice", 2)), None),
        ((("created", "alice", None), ("edited", "alice", None), ("undone", "alice", 2)), 1),
        (
            (
                ("edited", "alice", None),
                ("edited", "alice", None),
                ("undone", "alice", 2),
                ("undone", "alice", 1),
            ),
            None,
        ),
        ((("edited", "alice", None), ("undone", "alice", 1), ("undone", "alice", 2)), 1),
        (
            (
                *(("edited", "alice", None), ("undone", "alice", 1), ("undone", "alice", 2)),
                ("undone", "alice", 3),
            ),
            None,
        ),
    ],
)
def test_newest_effective_change_is_undone(
    events: tuple[tuple[str, str, int | None], ...], newest: int | None
) -> None:
    """Not an undone one, unless that undo was undone; not another user's; not one without changes."""
    past = past_of(*((f"task.{kind}", actor, undid) for kind, actor, undid in events))
    assert newest_change(past, "alice") == newest


def test_undo_ignores_other_users_changes_of_other_fields() -> None:
    """Only the fields of the change itself must be unchanged."""
    past: tuple[TaskEvent, ...] = (CREATED, TaskEdited({"title": "U"}), TaskEdited({"notes": "n"}))
    given(*past).when(UndoChange(version=2), change=change(*past, version=2)).then(
        TaskUndone(2, {"title": "T"})
    )
