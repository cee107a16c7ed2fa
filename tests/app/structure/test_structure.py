"""Rules across streams and their repairs: from states to violations and events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.ids import inbox_id
from app.lists.events import ListRestored, MemberAdded, MemberRoleChanged, Stage
from app.lists.state import TaskList
from app.log import fold
from app.log.records import Event
from app.stream_ids import StreamId
from app.structure.repairs import SOURCE, repair_of
from app.structure.rules import Placement, StructureState, touches_structure, violations
from app.tasks.events import Series, TaskCreated, TaskDeleted, TaskEdited, TaskMoved, TaskReopened
from app.tasks.state import Task
from tests.spec import HOME, LIST_ID, OTHER_LIST_ID, START, record_of, task_after

STAGES: tuple[Stage, ...] = (
    {"name": "To do", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
)
OTHER = replace(HOME, id=OTHER_LIST_ID, name="Other")
LATER = datetime(2026, 6, 1, tzinfo=UTC)


def task(name: str, parent: str | None = None, **given: Any) -> Task:
    """Return a task of this id in the list `HOME`."""
    created = task_after(TaskCreated(list_id=LIST_ID, title=name))
    return replace(created, id=name, parent_id=parent, **given)


def state_of(*states: Task | TaskList, **given: Any) -> StructureState:
    """Return the states, including the list `HOME`."""
    lists = {each.id: each for each in (HOME, *states) if isinstance(each, TaskList)}
    return StructureState({each.id: each for each in states if isinstance(each, Task)}, lists, **given)


def repairs_of(state: StructureState) -> dict[str, Event]:
    """Return the repairing event of each stream."""
    repairs = [repair_of(each, state) for each in violations(state)]
    return {each.violation.stream: each.event for each in repairs if each is not None}


def settled(state: StructureState) -> StructureState:
    """Return the states after all rounds of repairs; the fold accepts each of them."""
    for _ in range(10):
        repairs = [repair for each in violations(state) if (repair := repair_of(each, state)) is not None]
        if not repairs:
            return state
        tasks, lists = dict(state.tasks), dict(state.lists)
        placements = dict(state.placements)
        for repair in repairs:
            kind, _, key = repair.violation.stream.partition(":")
            before = tasks[key] if kind == "task" else lists[key]
            record = replace(record_of(TaskDeleted(), before.version + 1), data=repair.event)
            after = fold.evolve(before, replace(record, stream=StreamId(f"{kind}:{key}")))
            if isinstance(after, Task):
                tasks[key] = after
                placements.pop(key, None)
            elif isinstance(after, TaskList):
                lists[key] = after
        state = replace(state, tasks=tasks, lists=lists, placements=placements)
    raise AssertionError(f"the repairs come to no end: {violations(state)}")


def test_valid_tasks_violate_nothing() -> None:
    """Sub-tasks, stages, done tasks below open ones, deleted ones anywhere."""
    home = replace(HOME, stages=STAGES)
    state = state_of(
        home,
        task("top", stage="Doing"),
        task("child", "top", stage="Done", status="done"),
        task("gone", "nowhere", stage="no such", deleted_at=START),
    )
    assert violations(state) == []


def test_cycle_is_cut_at_its_latest_event() -> None:
    """And nowhere else; the others keep their parents."""
    state = state_of(
        task("a", "c"),
        task("b", "a"),
        task("c", "b"),
        parent_set_at={"a": LATER, "b": START, "c": START},
    )
    assert repairs_of(state) == {"task:a": TaskEdited({"parent_id": None})}
    after = settled(state).tasks
    assert [after[name].parent_id for name in "abc"] == [None, "a", "b"]


def test_task_below_itself_becomes_a_top_level_task() -> None:
    """The smallest cycle."""
    assert repairs_of(state_of(task("a", "a"))) == {"task:a": TaskEdited({"parent_id": None})}


@pytest.mark.parametrize("parent", [task("p", deleted_at=START), None])
def test_child_of_a_deleted_task_becomes_a_top_level_task(parent: Task | None) -> None:
    """So does one whose parent never existed."""
    state = state_of(task("c", "p"), *([parent] if parent else []))
    assert repairs_of(state) == {"task:c": TaskEdited({"parent_id": None})}


def test_sub_task_follows_its_parent_to_another_list() -> None:
    """Into the corresponding stage; it stays below its parent."""
    other = replace(OTHER, stages=STAGES)
    state = state_of(other, task("p", list_id=OTHER.id), task("c", "p", stage="x"))
    assert repairs_of(state) == {"task:c": TaskMoved(OTHER.id, stage="To do", parent_id="p")}
    assert settled(state).tasks["c"].list_id == OTHER.id


def test_sub_task_does_not_follow_into_a_deleted_list() -> None:
    """It becomes a top-level task where it is."""
    state = state_of(replace(OTHER, deleted_at=START), task("p", list_id=OTHER.id), task("c", "p"))
    assert repairs_of(state) == {"task:c": TaskEdited({"parent_id": None})}


def test_too_deep_subtree_becomes_a_top_level_task() -> None:
    """The first level that is too deep is cut off, once."""
    chain = [task(str(level), str(level - 1) if level else None) for level in range(8)]
    state = state_of(*chain)
    assert repairs_of(state) == {"task:5": TaskEdited({"parent_id": None})}
    assert violations(settled(state)) == []


def test_open_task_reopens_its_done_ancestors() -> None:
    """In the first open stage, unless their stage is open already."""
    home = replace(HOME, stages=STAGES)
    state = state_of(
        home,
        task("top", status="done", stage="Done"),
        task("child", "top", status="done", stage="Doing"),
        task("open", "child", stage="To do"),
    )
    assert repairs_of(state) == {
        "task:top": TaskReopened(stage="To do"),
        "task:child": TaskReopened(),
    }
    assert violations(settled(state)) == []


@pytest.mark.parametrize(
    ("former", "expected"), [("active", "Doing"), ("open", "To do"), ("done", "To do"), (None, "To do")]
)
def test_task_in_a_removed_stage_moves_to_the_first_of_its_category(former: Any, expected: str) -> None:
    """If the category is known; an open task never goes to a done stage."""
    categories = {} if former is None else {(LIST_ID, "gone"): former}
    state = state_of(replace(HOME, stages=STAGES), task("t", stage="gone"), former_categories=categories)
    assert repairs_of(state) == {"task:t": TaskEdited({"stage": expected})}


def test_done_task_in_a_removed_stage_moves_to_a_done_stage() -> None:
    """If there is none, to the first active one."""
    done = task("t", stage="gone", status="done")
    assert repairs_of(state_of(replace(HOME, stages=STAGES), done)) == {
        "task:t": TaskEdited({"stage": "Done"})
    }
    no_done = replace(HOME, stages=STAGES[:2])
    assert repairs_of(state_of(no_done, done)) == {"task:t": TaskEdited({"stage": "Doing"})}


def test_open_task_leaves_a_done_stage() -> None:
    """Stage and status agree."""
    state = state_of(replace(HOME, stages=STAGES), task("t", stage="Done"))
    assert repairs_of(state) == {"task:t": TaskEdited({"stage": "To do"})}


def test_task_moved_to_a_deleted_list_is_moved_back() -> None:
    """With its sub-tasks."""
    gone = replace(OTHER, deleted_at=START)
    came = Placement(START + timedelta(seconds=1), "bob", LIST_ID)
    state = state_of(
        gone,
        task("p", list_id=gone.id),
        task("c", "p", list_id=gone.id),
        placements={"p": came, "c": came},
        list_deleted_at={gone.id: START},
    )
    assert repairs_of(state) == {
        "task:p": TaskMoved(LIST_ID),
        "task:c": TaskMoved(LIST_ID, parent_id="p"),
    }
    after = settled(state).tasks
    assert (after["p"].list_id, after["c"].list_id, after["c"].parent_id) == (LIST_ID, LIST_ID, "p")


@pytest.mark.parametrize("origin", [None, OTHER_LIST_ID])
def test_task_without_a_previous_list_moves_to_the_inbox_of_the_actor(origin: str | None) -> None:
    """Created in the deleted list, or from another deleted one; the inbox is created if needed."""
    gone = replace(OTHER, deleted_at=START)
    state = state_of(
        gone,
        task("t", list_id=gone.id),
        placements={"t": Placement(LATER, "bob", origin)},
        list_deleted_at={gone.id: START},
    )
    [violation] = violations(state)
    repair = repair_of(violation, state)
    assert repair is not None
    assert (repair.event, repair.inbox_of) == (TaskMoved(inbox_id("bob")), "bob")


def test_task_of_a_deleted_list_stays_in_it() -> None:
    """It is restored with the list."""
    gone = replace(OTHER, deleted_at=START)
    state = state_of(
        gone,
        task("t", list_id=gone.id),
        task("same", list_id=gone.id),
        placements={
            "t": Placement(START - timedelta(days=1), "bob", None),
            "same": Placement(START, "bob", None),
        },
        list_deleted_at={gone.id: START},
    )
    assert violations(state) == []


def test_task_of_a_list_that_never_existed_moves_to_an_inbox() -> None:
    """Except tasks of inboxes that are not created yet."""
    state = state_of(task("t", list_id="nowhere"), task("mine", list_id=inbox_id("alice")))
    assert repairs_of(state) == {"task:t": TaskMoved(inbox_id("alice"))}


@pytest.mark.parametrize(
    ("members", "event"),
    [
        ({"alice": "viewer", "bob": "editor"}, MemberRoleChanged("alice", "owner")),
        ({"zoe": "viewer", "carl": "editor", "bob": "editor"}, MemberRoleChanged("bob", "owner")),
        ({"zoe": "viewer"}, MemberRoleChanged("zoe", "owner")),
        ({}, MemberAdded("alice", "owner")),
    ],
)
def test_list_without_an_owner_gets_one(members: dict[str, Any], event: Event) -> None:
    """Its creator, else the first editor, else the first member, else its creator again."""
    assert repairs_of(state_of(replace(HOME, members=members))) == {f"list:{LIST_ID}": event}


def test_deleted_list_without_an_owner_gets_one_too() -> None:
    """Somebody has to be able to restore it."""
    gone = replace(HOME, members={"zoe": "editor"}, deleted_at=START)
    assert repairs_of(state_of(gone)) == {f"list:{LIST_ID}": MemberRoleChanged("zoe", "owner")}


def test_inbox_belongs_to_its_user() -> None:
    """A lost owner is added again; the others stay."""
    inbox = replace(HOME, inbox=True, members={"zoe": "owner"})
    assert repairs_of(state_of(inbox)) == {f"list:{LIST_ID}": MemberAdded("alice", "owner")}


def test_deleted_inbox_is_restored_with_its_tasks() -> None:
    """Moving them from the inbox to the inbox would never end."""
    inbox = replace(HOME, id=inbox_id("alice"), inbox=True, deleted_at=START)
    state = state_of(
        inbox,
        task("t", list_id=inbox.id),
        placements={"t": Placement(LATER, "alice", None)},
        list_deleted_at={inbox.id: START},
    )
    assert repairs_of(state) == {f"list:{inbox.id}": ListRestored()}
    assert settled(state).tasks["t"] == state.tasks["t"]


@pytest.mark.parametrize("deleted", [[], [replace(OTHER, deleted_at=START)]])
def test_parent_moved_back_keeps_its_sub_tasks(deleted: list[TaskList]) -> None:
    """It was moved alone to a list that is deleted, or never existed."""
    state = state_of(
        *deleted,
        task("p", list_id=OTHER.id),
        task("c", "p"),
        placements={"p": Placement(LATER, "bob", LIST_ID)},
        list_deleted_at={OTHER.id: START},
    )
    assert repairs_of(state) == {"task:p": TaskMoved(LIST_ID)}
    assert settled(state).tasks["c"] == state.tasks["c"]


def test_second_task_of_an_occurrence_leaves_the_series() -> None:
    """The later one stays as a task of its own."""
    twice = [
        task(name, series=Series("s", 2, None), recurrence="FREQ=DAILY", created_at=at)
        for name, at in (("new", LATER), ("old", START))
    ]
    state = state_of(*twice, task("next", series=Series("s", 3, None)))
    assert repairs_of(state) == {"task:new": TaskEdited({"recurrence": None})}
    assert settled(state).tasks["new"].series is None


def test_repairs_of_the_same_state_are_the_same_event() -> None:
    """So of two workers only one repairs; after another event it is another."""
    state = state_of(task("c", "p"))
    first, again = (repair_of(violations(state)[0], state) for _ in range(2))
    changed = state_of(replace(task("c", "p"), version=9))
    other = repair_of(violations(changed)[0], changed)
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.event_id == again.event_id != other.event_id
    assert SOURCE == "/tasktape/policy/structure"


def test_events_within_a_stream_are_not_checked() -> None:
    """Titles and the like cost nothing."""
    before = task("t")
    assert touches_structure(None, before)
    assert touches_structure(before, replace(before, status="done"))
    assert touches_structure(before, replace(before, parent_id="p"))
    assert not touches_structure(before, replace(before, title="other", notes="more", tags=("x",)))
    assert touches_structure(HOME, replace(HOME, deleted_at=START))
    assert not touches_structure(HOME, replace(HOME, name="other"))
