"""Recipients of notifications: once per event, never the actor, and only members."""

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


def test_each_event_type_has_its_own_notification() -> None:
    """A mention takes precedence over a comment."""
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
    for event, expected in cases:
        assert notified(record_of(event, 2)) == expected


def test_added_member_is_notified() -> None:
    """Unless it is the actor, as in foreign records only."""
    assert notified(record_of(MemberAdded("bob", "viewer"), 2)) == {"bob": "shared"}
    assert notified(record_of(MemberAdded("bob", "viewer"), 2, actor="bob")) == {}
    assert notified(record_of(MemberRemoved("bob"), 2)) == {}


def folded(*records: Record) -> Folded:
    """Return the outcome of the last of these records."""
    return fold_log([raw_of(record, offset) for offset, record in enumerate(records)])[1][-1]


def test_update_is_sent_to_notified_users_with_the_reason() -> None:
    """On their own channels first, so that each socket gets it once."""
    created = TaskCreated(LIST_ID, "T", assignees=("carol", "bob"), notify=("bob", "carol"))
    update = update_of(folded(record_of(created, 1)))
    assert update.channels == ("user:bob", "user:carol", f"list:{LIST_ID}", f"task:{TASK_ID}")
    assert json.loads(update.value)["notifications"] == {"bob": "assigned", "carol": "assigned"}


def test_superseded_record_notifies_nobody() -> None:
    created = record_of(TaskCreated(LIST_ID, "T", notify=("bob",)), 1)
    update = update_of(folded(created, created))
    assert update.channels == ()
    assert "notifications" not in json.loads(update.value)


# --- decisions -------------------------------------------------------------------------------------------


@st.composite
def situations(draw: st.DrawFn) -> tuple[TaskCommand, Task | None, DecisionContext]:
    """Generate commands on a task of a list; mentioned users may or may not see it."""
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
def test_only_members_except_the_actor_are_notified(
    situation: tuple[TaskCommand, Task | None, DecisionContext],
) -> None:
    """For any command; reminders may also notify the actor."""
    command, task, around = situation
    event: TaskEvent | None = decide(command, task, around)
    if event is None:
        return
    expected = notified(record_of(event, 2, actor=around.user))
    assert around.home is not None
    assert set(expected) <= set(around.home.members)
    assert isinstance(event, TaskReminded) or around.user not in expected


@given(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE))
def test_sharing_notifies_only_the_new_member(owner: str, other: str) -> None:
    task_list: TaskList = replace(HOME, members={owner: "owner"})
    try:
        event = decide_list(SetMember(user=other, role="editor"), task_list, owner)
    except TaskError:
        return
    expected = {} if event is None else notified(record_of(event, 2, actor=owner))
    assert expected == ({} if other == owner else {other: "shared"})


@pytest.mark.parametrize("text", ["@bob", "hey @bob, look", "@carol and @bob"])
def test_mentioned_user_is_notified_once(text: str) -> None:
    """Although they own the task and have commented on it too."""
    home = replace(HOME, members=dict.fromkeys(["alice", "bob"], "editor"))
    task = task_after(TaskCreated(LIST_ID, "T", assignees=("bob",)))
    around = surroundings(home=home, commenters=frozenset({"bob", "alice"}))
    event = decide(Comment(comment_id=COMMENT_ID, text=text), task, around)
    assert event is not None
    assert notified(record_of(event, 2)) == {"bob": "mentioned"}
