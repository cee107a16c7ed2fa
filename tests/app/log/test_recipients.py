"""Who is told of what: once for each event, never who did it, and only members."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import TaskError
from app.lists.commands import SetMember
from app.lists.decide import decide as decide_list
from app.lists.events import MemberAdded, MemberRemoved
from app.lists.state import TaskList
from app.log.fold import Folded
from app.log.recipients import notified
from app.log.records import Record
from app.tasks.commands import Comment, CreateTask, EditComment, EditTask, RemindOfTask, TaskCommand
from app.tasks.decide import decide
from app.tasks.decision_context import DecisionContext, PriorComment
from app.tasks.events import (
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskEdited,
    TaskEvent,
    TaskReminded,
)
from app.tasks.state import Task
from tests.folding import fold_log, update_of
from tests.spec import HOME, LIST_ID, TASK_ID, raw_of, record_of, surroundings, task_after

COMMENT_ID = "20000000-0000-4000-8000-000000000001"
PEOPLE = ["alice", "bob", "carol", "dave"]
AT = "2026-12-01T08:00:00.000000Z"
REMINDER = {"at": AT}


def test_each_kind_of_event_tells_in_its_own_way() -> None:
    """A mention counts for more than a comment."""
    cases: list[tuple[Any, dict[str, str]]] = [
        (TaskCreated(LIST_ID, "T", notify=("bob",)), {"bob": "assigned"}),
        (TaskEdited({"assignees": ("bob", "carol")}, notify=("bob",)), {"bob": "assigned"}),
        (
            TaskCommented(COMMENT_ID, "x", ("bob",), ("bob", "carol")),
            {"bob": "mentioned", "carol": "commented"},
        ),
        (TaskCommentEdited(COMMENT_ID, "x", ("bob",)), {"bob": "mentioned"}),
        (TaskReminded(AT, ("alice", "bob")), {"alice": "reminded", "bob": "reminded"}),
        (TaskCompleted(), {}),
    ]
    for event, told in cases:
        assert notified(record_of(event, 2)) == told


def test_who_is_added_to_a_list_hears_of_it() -> None:
    """Unless they did it themselves, which only foreign records say."""
    assert notified(record_of(MemberAdded("bob", "viewer"), 2)) == {"bob": "shared"}
    assert notified(record_of(MemberAdded("bob", "viewer"), 2, actor="bob")) == {}
    assert notified(record_of(MemberRemoved("bob"), 2)) == {}


def folded(*records: Record) -> Folded:
    """What became of the last of these records."""
    return fold_log([raw_of(record, offset) for offset, record in enumerate(records)])[1][-1]


def test_the_update_goes_to_those_who_are_told() -> None:
    """On their own channels first, so that each socket gets it once; and it says as what."""
    created = TaskCreated(LIST_ID, "T", assignees=("carol", "bob"), notify=("bob", "carol"))
    update = update_of(folded(record_of(created, 1)))
    assert update.channels == ("user:bob", "user:carol", f"list:{LIST_ID}", f"task:{TASK_ID}")
    assert json.loads(update.value)["notifications"] == {"bob": "assigned", "carol": "assigned"}


def test_what_was_superseded_tells_nobody() -> None:
    """It changed nothing."""
    created = record_of(TaskCreated(LIST_ID, "T", notify=("bob",)), 1)
    update = update_of(folded(created, created))
    assert update.channels == ()
    assert "notifications" not in json.loads(update.value)


# --- decisions -------------------------------------------------------------------------------------------


@st.composite
def situations(draw: st.DrawFn) -> tuple[TaskCommand, Task | None, DecisionContext]:
    """A command by somebody, on a task of a list with some members; names are called that see it or not."""
    members = draw(st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True))
    user = draw(st.sampled_from(PEOPLE))
    people = st.lists(st.sampled_from(PEOPLE), unique=True).map(tuple)
    home = replace(HOME, members=dict.fromkeys(members, "editor"))
    text = draw(people.map(lambda names: " ".join(f"@{name}" for name in names) or "hello"))
    task = task_after(TaskCreated(LIST_ID, "T", assignees=draw(people), reminders=(REMINDER,)))  # type: ignore[arg-type]
    around = surroundings(
        user=user,
        home=home,
        commenters=frozenset(draw(people)),
        comment=PriorComment(user, draw(st.sampled_from(["before", "@bob before"]))),
    )
    create = CreateTask(title="T", list_id=LIST_ID, assignees=draw(people))
    commands: list[TaskCommand] = [
        EditTask(assignees=draw(people)),
        Comment(comment_id=COMMENT_ID, text=text),
        EditComment(comment_id=COMMENT_ID, text=text),
        RemindOfTask(at=AT),
        create,
    ]
    command = draw(st.sampled_from(commands))
    return command, None if command is create else task, around


@given(situations())
def test_only_members_are_told_and_never_who_did_it(
    situation: tuple[TaskCommand, Task | None, DecisionContext],
) -> None:
    """Whatever is done, whoever does it, whoever is called; reminders tell also their own people."""
    command, task, around = situation
    event: TaskEvent | None = decide(command, task, around)
    if event is None:
        return
    told = notified(record_of(event, 2, actor=around.user))
    assert around.home is not None
    assert set(told) <= set(around.home.members)
    assert isinstance(event, TaskReminded) or around.user not in told


@given(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE))
def test_sharing_tells_the_one_who_is_new(owner: str, other: str) -> None:
    """Not the one who shares."""
    task_list: TaskList = replace(HOME, members={owner: "owner"})
    try:
        event = decide_list(SetMember(user=other, role="editor"), task_list, owner)
    except TaskError:
        return
    told = {} if event is None else notified(record_of(event, 2, actor=owner))
    assert told == ({} if other == owner else {other: "shared"})


@pytest.mark.parametrize("text", ["@bob", "hey @bob, look", "@carol and @bob"])
def test_who_is_mentioned_is_told_once(text: str) -> None:
    """Though they own the task and have commented on it too."""
    home = replace(HOME, members=dict.fromkeys(["alice", "bob"], "editor"))
    task = task_after(TaskCreated(LIST_ID, "T", assignees=("bob",)))
    around = surroundings(home=home, commenters=frozenset({"bob", "alice"}))
    event = decide(Comment(comment_id=COMMENT_ID, text=text), task, around)
    assert event is not None
    assert notified(record_of(event, 2)) == {"bob": "mentioned"}
