"""Decisions of task commands that depend on context: stages, order, sub-tasks, series."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.errors import Conflict, Invalid
from app.lists.state import TaskList
from app.tasks.checks import MAX_DEPTH
from app.tasks.commands import (
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    RestoreTask,
    UndoChange,
)
from app.tasks.decision_context import Gap
from app.tasks.events import (
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
from app.tasks.state import Task
from tests.app.tasks.examples import (
    CREATED,
    IN_BACKLOG,
    IN_DOING,
    PARENT_ID,
    STAGED,
    STAGES,
    change,
    line,
)
from tests.spec import HOME, LIST_ID, OTHER_LIST_ID, TASK_ID, given, task_after


def other(**fields: Any) -> TaskList:
    """Return another list."""
    return replace(HOME, id=OTHER_LIST_ID, **fields)


# --- stages ----------------------------------------------------------------------------------------------


def test_new_task_begins_in_the_first_open_stage() -> None:
    """Unless it names one; a list without stages accepts any, or none."""
    given().when(CreateTask(list_id=LIST_ID, title="T"), home=STAGED).then(IN_BACKLOG)
    given().when(CreateTask(list_id=LIST_ID, title="T", stage="Doing"), home=STAGED).then(IN_DOING)
    given().when(CreateTask(list_id=LIST_ID, title="T", stage="Doing")).then(IN_DOING)
    given().when(CreateTask(list_id=LIST_ID, title="T", stage="Nope"), home=STAGED).then_refused(
        Invalid, "Backlog, Doing, Done"
    )
    given().when(CreateTask(list_id=LIST_ID, title="T", stage="Done"), home=STAGED).then_refused(
        Invalid, "done already"
    )


def test_stages_determine_the_status() -> None:
    """Moving to a done stage completes, and moving out of it reopens, in the same event."""
    done = TaskEdited({"stage": "Done", "status": "done"})
    given(IN_BACKLOG).when(EditTask(stage="Done"), home=STAGED).then(done)
    given(IN_BACKLOG, done).when(EditTask(stage="Doing"), home=STAGED).then(
        TaskEdited({"stage": "Doing", "status": "open"})
    )
    given(IN_BACKLOG).when(EditTask(stage="Doing"), home=STAGED).then(TaskEdited({"stage": "Doing"}))
    given(IN_BACKLOG).when(EditTask(stage="Nope"), home=STAGED).then_refused(Invalid, "must be one of")
    task = task_after(IN_BACKLOG, done)
    assert (task.status, task.stage, task.completed_at) == ("done", "Done", task.updated_at)
    assert task_after(IN_BACKLOG, done, TaskEdited({"status": "open"})).completed_at is None


def test_restored_task_gets_a_corresponding_stage() -> None:
    """If the list no longer has its stage; the same for undo."""
    left = replace(STAGED, stages=STAGES[:1] + STAGES[2:])
    past: tuple[TaskEvent, ...] = (IN_DOING, TaskDeleted())
    given(*past).when(RestoreTask(), home=STAGED).then(TaskRestored())
    given(*past).when(RestoreTask(), home=left).then(TaskRestored(stage="Backlog"))
    assert task_after(*past, TaskRestored(stage="Backlog")).stage == "Backlog"
    assert task_after(*past, TaskRestored()).stage == "Doing"
    given(IN_DOING, TaskCompleted(), TaskDeleted()).when(RestoreTask(), home=left).then(
        TaskRestored(stage="Done")
    )
    given(CREATED, TaskDeleted()).when(RestoreTask(), home=left).then(TaskRestored())
    given(*past).when(UndoChange(), home=left, change=change(*past, version=2)).then(
        TaskUndone(2, {"deleted_at": None, "stage": "Backlog"})
    )


def test_stage_of_the_same_name_must_have_the_same_category() -> None:
    """An open task does not become done by moving to another list."""
    target = other(stages=({"name": "Todo", "category": "open"}, {"name": "Doing", "category": "done"}))
    move = MoveTask(list_id=OTHER_LIST_ID)
    given(IN_DOING).when(move, home=STAGED, target=target).then(TaskMoved(OTHER_LIST_ID, stage="Todo"))
    only_open = other(stages=({"name": "Todo", "category": "open"},))
    done: tuple[TaskEvent, ...] = (IN_DOING, TaskCompleted(stage="Done"))
    given(*done).when(move, home=STAGED, target=only_open).then(TaskMoved(OTHER_LIST_ID, stage="Todo"))


def test_completing_and_reopening_choose_the_stage() -> None:
    """The first of the right category; a matching stage stays."""
    given(IN_BACKLOG).when(CompleteTask(), home=STAGED).then(TaskCompleted(stage="Done"))
    given(IN_BACKLOG, TaskCompleted(stage="Done")).when(ReopenTask(), home=STAGED).then(
        TaskReopened(stage="Backlog")
    )
    given(IN_DOING, TaskCompleted()).when(ReopenTask(), home=STAGED).then(TaskReopened())
    given(TaskCreated(list_id=LIST_ID, title="T", stage="Done")).when(CompleteTask(), home=STAGED).then(
        TaskCompleted()
    )
    given(CREATED).when(CompleteTask()).then(TaskCompleted())


# --- order and lists -------------------------------------------------------------------------------------


def test_task_moves_within_its_list() -> None:
    """Another rank, another stage, or both; the same place is no event."""
    move = MoveTask(after=PARENT_ID)
    moved = given(CREATED).when(move, gap=Gap("m", "n")).decide()
    assert isinstance(moved, TaskMoved)
    assert (moved.list_id, moved.stage) == (LIST_ID, None)
    assert "m" < (moved.rank or "") < "n"
    given(CREATED, moved).when(move, gap=Gap("m", "n")).then_nothing()
    given(CREATED, moved).when(move, gap=Gap(None, "n")).then_nothing()
    given(IN_BACKLOG).when(MoveTask(after=PARENT_ID, stage="Done"), home=STAGED, gap=Gap("m", "n")).then(
        TaskMoved(LIST_ID, rank=moved.rank, stage="Done", status="done")
    )
    given(CREATED).when(move, gap=Gap("a", "a0")).then_refused(Conflict, "no room")
    given(IN_BACKLOG).when(MoveTask(stage="Nope"), home=STAGED).then_refused(Invalid)
    task = task_after(CREATED, TaskMoved(LIST_ID, rank="m", stage="Done", status="done"))
    assert (task.rank, task.stage, task.status, task.list_id) == ("m", "Done", "done", LIST_ID)


def test_moved_task_gets_a_stage_of_the_other_list() -> None:
    """The same if it has it; else one of the same category."""
    target = other(stages=({"name": "Todo", "category": "open"}, {"name": "Wip", "category": "active"}))
    move = MoveTask(list_id=OTHER_LIST_ID)
    given(IN_DOING).when(move, home=STAGED, target=target).then(TaskMoved(OTHER_LIST_ID, stage="Wip"))
    given(IN_BACKLOG).when(move, home=STAGED, target=target).then(TaskMoved(OTHER_LIST_ID, stage="Todo"))
    given(IN_DOING).when(move, home=STAGED, target=other(stages=STAGES)).then(TaskMoved(OTHER_LIST_ID))
    given(IN_DOING).when(move, home=STAGED, target=other()).then(TaskMoved(OTHER_LIST_ID))
    assert task_after(IN_DOING, TaskMoved(OTHER_LIST_ID)).stage == "Doing"


def test_done_task_stays_done_in_another_list() -> None:
    """In a done stage if there is one."""
    target = other(stages=({"name": "Todo", "category": "open"}, {"name": "Over", "category": "done"}))
    past: tuple[TaskEvent, ...] = (IN_BACKLOG, TaskCompleted(stage="Done"))
    given(*past).when(MoveTask(list_id=OTHER_LIST_ID), home=STAGED, target=target).then(
        TaskMoved(OTHER_LIST_ID, stage="Over")
    )


def test_sub_task_leaves_its_parent_or_moves_with_it() -> None:
    """Moved alone to another list, it loses its parent."""
    child = TaskCreated(list_id=LIST_ID, title="T", parent_id=PARENT_ID)
    given(child).when(MoveTask(list_id=OTHER_LIST_ID), target=other()).then(TaskMoved(OTHER_LIST_ID))
    given(child).when(MoveTask(list_id=OTHER_LIST_ID, keep_parent=True), target=other()).then(
        TaskMoved(OTHER_LIST_ID, parent_id=PARENT_ID)
    )
    assert task_after(child, TaskMoved(OTHER_LIST_ID)).parent_id is None
    assert task_after(child, TaskMoved(OTHER_LIST_ID, parent_id=PARENT_ID)).parent_id == PARENT_ID
    assert task_after(child, TaskMoved(LIST_ID, rank="m")).parent_id == PARENT_ID


# --- sub-tasks -------------------------------------------------------------------------------------------


def test_sub_task_names_its_parent() -> None:
    """In the same list; `null` makes it a top-level task."""
    create = CreateTask(list_id=LIST_ID, title="T", parent_id=PARENT_ID)
    child = TaskCreated(list_id=LIST_ID, title="T", parent_id=PARENT_ID)
    given().when(create, ancestors=line(1)).then(child)
    given(CREATED).when(EditTask(parent_id=PARENT_ID), ancestors=line(1)).then(
        TaskEdited({"parent_id": PARENT_ID})
    )
    given(child).when(EditTask(parent_id=None)).then(TaskEdited({"parent_id": None}))


@pytest.mark.parametrize(
    ("ancestors", "said"),
    [
        ((), "same list"),
        (line(1, list_id=OTHER_LIST_ID), "same list"),
        (line(1, deleted_at=task_after(CREATED).created_at), "same list"),
        (line(MAX_DEPTH), "levels"),
        ((*line(1), task_after(CREATED)), "itself"),
    ],
)
def test_invalid_parent_is_refused(ancestors: tuple[Task, ...], said: str) -> None:
    """Missing, in another list, too deep, or below the task itself."""
    given(CREATED).when(EditTask(parent_id=PARENT_ID), ancestors=ancestors).then_refused(Invalid, said)


@pytest.mark.parametrize(
    ("plain", "cascading", "event"),
    [
        (CompleteTask(), CompleteTask(cascade=True), TaskCompleted()),
        (DeleteTask(), DeleteTask(cascade=True), TaskDeleted()),
    ],
)
def test_open_sub_tasks_prevent_completion(
    plain: CompleteTask | DeleteTask, cascading: CompleteTask | DeleteTask, event: TaskEvent
) -> None:
    """Unless the command includes them."""
    given(CREATED).when(plain, open_children=2).then_refused(Conflict, "2 open sub-tasks.*cascade")
    given(CREATED).when(cascading, open_children=2).then(event)
    given(IN_BACKLOG).when(EditTask(stage="Done"), home=STAGED, open_children=1).then_refused(
        Conflict, "1 open"
    )
    given(IN_BACKLOG).when(MoveTask(stage="Done"), home=STAGED, open_children=1).then_refused(
        Conflict, "1 open"
    )


# --- series ----------------------------------------------------------------------------------------------


def test_recurrence_requires_a_date_to_count_from() -> None:
    """From the due date; not from the completion."""
    rule = "FREQ=DAILY"
    given().when(CreateTask(list_id=LIST_ID, title="T", recurrence=rule)).then_refused(Invalid, "due")
    given(CREATED).when(EditTask(recurrence=rule)).then_refused(Invalid, "due")
    given().when(CreateTask(list_id=LIST_ID, title="T", recurrence=rule, recurrence_from="completion")).then(
        TaskCreated(list_id=LIST_ID, title="T", recurrence=rule, recurrence_from="completion")
    )
    daily = TaskCreated(list_id=LIST_ID, title="T", recurrence=rule, due="2026-12-01")
    given(daily).when(EditTask(due=None)).then_refused(Invalid, "due")
    given(daily).when(EditTask(recurrence="FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")).then_refused(
        Invalid, "never occurs"
    )
    given(daily).when(EditTask(recurrence="FREQ=DAILY;COUNT=1")).then(
        TaskEdited({"recurrence": "FREQ=DAILY;COUNT=1"})
    )
    foreign = TaskCreated(list_id=LIST_ID, title="T", recurrence="often", due="2026-12-01")
    given(foreign).when(EditTask(title="U", due="2026-12-02")).then(
        TaskEdited({"title": "U", "due": "2026-12-02"}, this_only=("due",))
    )
    given(daily).when(EditTask(due=None, recurrence=None)).then(TaskEdited({"due": None, "recurrence": None}))


def test_edits_apply_to_one_occurrence_or_all_later_ones() -> None:
    """By default a due date to one and everything else to all; explicitly, as requested."""
    daily = TaskCreated(list_id=LIST_ID, title="T", recurrence="FREQ=DAILY", due="2026-12-01")
    both: dict[str, Any] = {"title": "U", "due": "2026-12-03"}
    fields: Any = {"title": "U", "due": "2026-12-03"}
    given(daily).when(EditTask(**both)).then(TaskEdited(fields, this_only=("due",)))
    given(daily).when(EditTask(**both, scope="this")).then(TaskEdited(fields, this_only=("due", "title")))
    given(daily).when(EditTask(**both, scope="following")).then(TaskEdited(fields))
    given(CREATED).when(EditTask(**both, scope="this")).then(TaskEdited(fields))
    once = task_after(daily, TaskEdited(fields, this_only=("due", "title"))).series
    assert once is not None
    assert (once.id, once.occurrence, once.scheduled, once.values) == (
        TASK_ID,
        1,
        "2026-12-01",
        {"title": "T"},
    )
    always = task_after(daily, TaskEdited(fields)).series
    assert always is not None
    assert (always.scheduled, always.values) == ("2026-12-03", {})
