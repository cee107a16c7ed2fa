"""Decisions that concern people: notified users, and authors of comments."""

from __future__ import annotations

from dataclasses import replace

from app.errors import Forbidden, NotFound
from app.tasks.commands import (
    Comment,
    CreateTask,
    DeleteComment,
    EditComment,
    EditTask,
    RemindOfTask,
)
from app.tasks.decision_context import PriorComment
from app.tasks.events import (
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskEdited,
    TaskReminded,
)
from tests.app.tasks.examples import (
    COMMENT_ID,
    CREATED,
    SHARED,
)
from tests.spec import LIST_ID, given, task_after


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
