"""Decisions of task commands that depend on context: stages, sub-tasks, comments, undo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.lists.events import Stage
from app.lists.state import TaskList
from app.tasks.checks import MAX_DEPTH
from app.tasks.commands import (
    Comment,
    CompleteTask,
    CreateTask,
    DeleteComment,
    DeleteTask,
    EditComment,
    EditTask,
    MoveTask,
    RemindOfTask,
    ReopenTask,
    RestoreTask,
    RevertTask,
    UndoChange,
)
from app.tasks.decision_context import Change, Gap, PastEvent, PriorComment
from app.tasks.events import (
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskReminded,
    TaskReopened,
    TaskRestored,
    TaskReverted,
    TaskUndone,
    UndoneFields,
)
from app.tasks.state import Task
from app.tasks.undo import newest_change
from tests.spec import HOME, LIST_ID, OTHER_LIST_ID, TASK_ID, given, task_after

PARENT_ID = "0f0e0d0c-0b0a-4908-8706-0504030201ff"
COMMENT_ID = "018f0000-0000-7000-8000-0000000000cc"
STAGES: tuple[Stage, ...] = (
    {"name": "Backlog", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
)
STAGED = replace(HOME, stages=STAGES)
SHARED = replace(HOME, members={"alice": "owner", "bob": "editor", "carol": "viewer", "Zoë B": "editor"})
CREATED = TaskCreated(list_id=LIST_ID, title="T")
IN_BACKLOG = TaskCreated(list_id=LIST_ID, title="T", stage="Backlog")
IN_DOING = TaskCreated(list_id=LIST_ID, title="T", stage="Doing")


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


def line(depth: int, **of_parent: Any) -> tuple[Task, ...]:
    """Return a task's ancestors, from the parent on."""
    parent = replace(task_after(CREATED), id=PARENT_ID, **of_parent)
    return (parent, *(replace(parent, id=f"{PARENT_ID[:-1]}{level}") for level in range(depth - 1)))


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


# --- people ----------------------------------------------------------------------------------------------


def test_new_assignees_are_notified() -> None:
    """Members only, except the actor and previous assignees."""
    given().when(CreateTask(list_id=LIST_ID, title="T", assignees=("bob", "alice", "eve")), home=SHARED).then(
        TaskCreated(list_id=LIST_ID, title="T", assignees=("bob", "alice", "eve"), notify=("bob",))
    )
    past = TaskCreated(list_id=LIST_ID, title="T", assignees=("bob",))
    given(past).when(EditTask(assignees=("carol", "bob")), home=SHARED).then(
        TaskEdited({"assignees": ("carol", "bob")}, notify=("carol",))
    )
    given(past).when(EditTask(assignees=()), home=SHARED).then(TaskEdited({"assignees": ()}))


def test_comments_notify_participants() -> None:
    """Mentioned users get a mention; the creator, assignees and earlier commenters get a comment."""
    past = TaskCreated(list_id=LIST_ID, title="T", assignees=("carol",))
    given(past).when(
        Comment(comment_id=COMMENT_ID, text="@bob and @Zoë B, see"),
        home=SHARED,
        user="carol",
        commenters=frozenset({"bob", "eve"}),
    ).then(TaskCommented(COMMENT_ID, "@bob and @Zoë B, see", ("Zoë B", "bob"), ("alice",)))
    assert task_after(past, TaskCommented(COMMENT_ID, "x")).comment_count == 1
    assert task_after(past, TaskCommented(COMMENT_ID, "x"), TaskCommentDeleted(COMMENT_ID)).comment_count == 0


def test_comments_belong_to_their_authors() -> None:
    """Only the author edits; the author and the list's owner delete; an edit notifies only new mentions."""
    mine, bobs = PriorComment("alice", "@bob"), PriorComment("bob", "x")
    edit = EditComment(comment_id=COMMENT_ID, text="@bob @carol")
    delete = DeleteComment(comment_id=COMMENT_ID)
    given(CREATED).when(edit, comment=mine, home=SHARED).then(
        TaskCommentEdited(COMMENT_ID, "@bob @carol", ("carol",))
    )
    given(CREATED).when(EditComment(comment_id=COMMENT_ID, text="@bob"), comment=mine).then_nothing()
    given(CREATED).when(edit, comment=bobs, home=SHARED).then_refused(Forbidden, "bob's")
    given(CREATED).when(edit).then_refused(NotFound, "comment")
    given(CREATED).when(delete, comment=bobs, home=SHARED).then(TaskCommentDeleted(COMMENT_ID))
    given(CREATED).when(delete, comment=mine, home=SHARED, user="bob").then_refused(Forbidden, "alice's")
    given(CREATED).when(delete, comment=bobs, home=SHARED, user="bob").then(TaskCommentDeleted(COMMENT_ID))
    given(CREATED).when(delete).then_refused(NotFound, "comment")


def test_reminders_notify_the_responsible() -> None:
    """The assignees who see the list, or else the creator; once for each instant."""
    at = "2026-12-01T08:00:00.000000Z"
    reminder = ({"at": "2026-12-01T09:00:00+01:00"},)
    past = TaskCreated(list_id=LIST_ID, title="T", reminders=reminder)  # type: ignore[arg-type]
    owned = replace(past, assignees=("bob", "eve"))
    given(past).when(RemindOfTask(at=at), home=SHARED, user="").then(TaskReminded(at, ("alice",)))
    given(owned).when(RemindOfTask(at=at), home=SHARED, user="").then(TaskReminded(at, ("bob",)))
    left = replace(past, assignees=("eve",))
    given(left).when(RemindOfTask(at=at), home=SHARED, user="").then(TaskReminded(at, ("alice",)))
    given(past, TaskReminded(at)).when(RemindOfTask(at=at), user="").then_nothing()
    given(past, TaskCompleted()).when(RemindOfTask(at=at), user="").then_nothing()
    given(CREATED).when(RemindOfTask(at=at), user="").then_nothing()


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


def change(*past: TaskEvent, version: int, actor: str = "alice") -> Change:
    """Return the change of event `version` of a history."""
    before = task_after(*past[: version - 1]) if version > 1 else None
    return Change(actor, before, task_after(*past[:version]))


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
