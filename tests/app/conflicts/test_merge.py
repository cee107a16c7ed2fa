"""`If-Match`: merging a change into a task that has changed since."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.conflicts import merge
from app.errors import Conflict, PreconditionFailed
from app.lists import decide as list_decisions
from app.lists.commands import DeleteList, EditList, LeaveList, RemoveMember, SetMember
from app.lists.events import (
    ListCreated,
    ListEdited,
    ListEvent,
    ListRenamed,
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    Stage,
)
from app.tasks.commands import (
    CompleteTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    RestoreTask,
    SkipOccurrence,
    TaskCommand,
    UndoChange,
)
from app.tasks.decide import changed_fields
from app.tasks.events import (
    TaskCommented,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskReopened,
    TaskSkipped,
)
from app.tasks.state import Task
from tests.spec import LIST_ID, OTHER_LIST_ID, list_after, task_after

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
    """Different fields, or the same value for the same field, do not conflict."""
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
    """A conflict has base, theirs and yours of exactly the overlapping fields."""
    with pytest.raises(Conflict, match="since version 1") as caught:
        merge.merged(yours, BASE, task_after(CREATED, theirs))
    assert (caught.value.base, caught.value.theirs, caught.value.yours) == (
        base_value,
        their_value,
        your_value,
    )


def test_reverted_change_does_not_conflict() -> None:
    current = task_after(CREATED, TaskCompleted(), TaskReopened())
    merge.merged(CompleteTask(), BASE, current)
    merge.merged(DeleteTask(), BASE, current)


def test_deleting_a_changed_task_is_refused() -> None:
    """Nobody deletes changes that they have not seen."""
    merge.merged(DeleteTask(), BASE, BASE)
    with pytest.raises(PreconditionFailed, match="version 2"):
        merge.merged(DeleteTask(), BASE, task_after(CREATED, TaskEdited({"notes": "M"})))


@pytest.mark.parametrize("version", [None, 1])
def test_undo_of_a_creation_is_refused_after_other_changes(version: int | None) -> None:
    """It would delete changes that the caller has not seen."""
    changed = task_after(CREATED, TaskEdited({"notes": "M"}))
    merge.merged(UndoChange(version=version), BASE, BASE)
    with pytest.raises(PreconditionFailed, match="read it before undoing"):
        merge.merged(UndoChange(version=version), BASE, changed)


def test_undo_of_a_change_checks_only_its_fields() -> None:
    """The decision checks if they changed again."""
    base = task_after(CREATED, TaskEdited({"title": "U"}))
    merge.merged(
        UndoChange(version=2), base, task_after(CREATED, TaskEdited({"title": "U"}), TaskCompleted())
    )


def test_order_and_comments_do_not_conflict() -> None:
    """Deleting a task deletes its comments too."""
    moved = task_after(CREATED, TaskMoved(LIST_ID, rank="m"), TaskCommented("c", "Hello"))
    merge.merged(DeleteTask(), BASE, moved)


def merged_edit(base: Task, current: Task, **yours: Any) -> dict[str, Any]:
    """Return what an edit based on `base` sets on `current`."""
    command = merge.merged(EditTask(**yours), base, current)
    assert isinstance(command, EditTask)
    return changed_fields(command, current)


def test_unchanged_field_of_an_edit_is_not_written() -> None:
    """A form sends all of its fields: other users' values stay, also empty ones."""
    created = replace(CREATED, due="2026-12-01", tags=("a",))
    base = task_after(created)
    current = task_after(created, TaskEdited({"title": "U", "due": None, "notes": "M", "tags": ("a", "b")}))
    form: dict[str, Any] = {
        "title": "T",
        "due": "2026-12-01",
        "notes": "N",
        "tags": ("a",),
        "priority": "high",
    }
    assert merged_edit(base, current, **form) == {"priority": "high"}
    with pytest.raises(Conflict) as caught:
        merge.merged(EditTask(**{**form, "due": "2026-12-02"}), base, current)
    assert (caught.value.base, caught.value.theirs, caught.value.yours) == (
        {"due": "2026-12-01"},
        {"due": None},
        {"due": "2026-12-02"},
    )


def test_tags_and_assignees_merge_as_sets() -> None:
    """Values that either side added are included, those that either side removed are not."""
    created = replace(CREATED, tags=("a", "b", "c"), assignees=("bob",))
    current = task_after(created, TaskEdited({"tags": ("b", "c", "d"), "assignees": ()}))
    assert merged_edit(task_after(created), current, tags=("a", "b", "e"), assignees=("bob", "carol")) == {
        "tags": ("b", "d", "e"),
        "assignees": ("carol",),
    }


def test_notes_merge_as_text() -> None:
    """If the changes are apart; otherwise only the notes conflict."""
    created = replace(CREATED, notes="one\ntwo\nthree\nfour\n")
    current = task_after(created, TaskEdited({"notes": "ONE\ntwo\nthree\nfour\n", "title": "U"}))
    notes = "one\ntwo\nthree\nFOUR\n"
    assert merged_edit(task_after(created), current, notes=notes) == {"notes": "ONE\ntwo\nthree\nFOUR\n"}
    with pytest.raises(Conflict) as caught:
        merge.merged(EditTask(notes="uno\ntwo\nthree\nfour\n", priority="low"), task_after(created), current)
    assert set(caught.value.yours) == {"notes"}


def test_merge_above_a_limit_conflicts() -> None:
    """Each side was within the limits of the field."""
    lines = "\n".join(f"line {number}" for number in range(1_000))
    created = replace(CREATED, notes=lines, tags=tuple(f"t{number}" for number in range(30)))
    theirs = TaskEdited(
        {"notes": "x" * 9_000 + lines, "tags": (*created.tags, *(f"a{n}" for n in range(15)))}
    )
    current = task_after(created, theirs)
    yours = {"notes": lines + "y" * 9_000, "tags": [*created.tags, *(f"b{n}" for n in range(15))]}
    with pytest.raises(Conflict) as caught:
        merge.merged(EditTask.model_validate(yours), task_after(created), current)
    assert set(caught.value.yours) == {"notes", "tags"}


def test_different_stages_conflict() -> None:
    """A card cannot be in two columns."""
    current = task_after(CREATED, TaskMoved(LIST_ID, stage="Doing"))
    for command in (EditTask(stage="Done"), MoveTask(stage="Done")):
        with pytest.raises(Conflict) as caught:
            merge.merged(command, BASE, current)
        assert (caught.value.theirs, caught.value.yours) == ({"stage": "Doing"}, {"stage": "Done"})


def test_occurrence_is_skipped_once() -> None:
    """Two users who skip the same one skip one; other changes do not conflict."""
    daily = replace(CREATED, due="2026-12-01", recurrence="FREQ=DAILY")
    base = task_after(daily)
    with pytest.raises(PreconditionFailed, match="skipping"):
        merge.merged(SkipOccurrence(), base, task_after(daily, TaskSkipped("2026-12-02", "FREQ=DAILY")))
    merge.merged(SkipOccurrence(), base, task_after(daily, TaskEdited({"title": "U"})))


# --- lists -----------------------------------------------------------------------------------------------

LIST = ListCreated(name="Home")
BOB = MemberAdded("bob", "editor")
STAGES: tuple[Stage, ...] = ({"name": "A", "category": "open"},)


def test_lists_merge_by_field_too() -> None:
    """The name, the stages as a whole, and each member's role."""
    base, current = list_after(LIST, BOB), list_after(LIST, BOB, ListRenamed("House"))
    stages = EditList(name="Home", stages=STAGES)
    event = list_decisions.decide(merge.merged_list(stages, base, current), current, "alice")
    assert event == ListEdited({"stages": STAGES})
    with pytest.raises(Conflict) as caught:
        merge.merged_list(EditList(name="Hut", stages=STAGES), base, current)
    assert (caught.value.base, caught.value.theirs, caught.value.yours) == (
        {"name": "Home"},
        {"name": "House"},
        {"name": "Hut"},
    )
    merge.merged_list(EditList(name="House"), base, current)
    merge.merged_list(SetMember(user="bob", role="viewer"), base, current)
    merge.merged_list(LeaveList(), base, current)


@pytest.mark.parametrize(
    ("theirs", "yours"),
    [
        (MemberRoleChanged("bob", "owner"), SetMember(user="bob", role="viewer")),
        (MemberRoleChanged("bob", "owner"), SetMember(user="bob", role="editor")),
        (MemberRoleChanged("bob", "owner"), RemoveMember(user="bob")),
        (MemberRemoved("bob"), SetMember(user="bob", role="viewer")),
        (MemberAdded("carol", "viewer"), SetMember(user="carol", role="owner")),
    ],
)
def test_different_roles_conflict(theirs: ListEvent, yours: SetMember | RemoveMember) -> None:
    """Also if the member was added or removed since."""
    past = (LIST, BOB)
    with pytest.raises(Conflict, match=yours.user) as caught:
        merge.merged_list(yours, list_after(*past), list_after(*past, theirs))
    [(user, role)] = caught.value.yours["members"].items()
    assert (user, role) == (yours.user, getattr(yours, "role", None))


def test_equal_roles_do_not_conflict() -> None:
    past = (LIST, BOB)
    same = MemberRoleChanged("bob", "viewer")
    merge.merged_list(SetMember(user="bob", role="viewer"), list_after(*past), list_after(*past, same))
    merge.merged_list(RemoveMember(user="bob"), list_after(*past), list_after(*past, MemberRemoved("bob")))


def test_deleting_a_changed_list_is_refused() -> None:
    """Nobody deletes changes that they have not seen."""
    merge.merged_list(DeleteList(), list_after(LIST), list_after(LIST))
    with pytest.raises(PreconditionFailed, match="version 2"):
        merge.merged_list(DeleteList(), list_after(LIST), list_after(LIST, BOB))


# --- properties ------------------------------------------------------------------------------------------

SETS = st.lists(st.sampled_from("abcdef"), unique=True).map(tuple)


@given(SETS, SETS, SETS)
def test_merge_of_sets_is_symmetric(
    base: tuple[str, ...], theirs: tuple[str, ...], yours: tuple[str, ...]
) -> None:
    """A value is included if one side added it, or both kept it."""
    merged = merge.merge_sets(base, theirs, yours)
    assert len(set(merged)) == len(merged)
    assert set(merged) == set(merge.merge_sets(base, yours, theirs))
    assert set(merged) == {
        value
        for value in {*base, *theirs, *yours}
        if (value in theirs and value in yours) or (value not in base and (value in theirs or value in yours))
    }


@given(SETS, SETS)
def test_unchanged_set_becomes_that_of_the_other_side(
    base: tuple[str, ...], changed: tuple[str, ...]
) -> None:
    assert merge.merge_sets(base, changed, base) == changed
    assert set(merge.merge_sets(base, base, changed)) == set(changed)
