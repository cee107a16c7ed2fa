"""The decider of commands on comments."""

from __future__ import annotations

from app.errors import Forbidden, NotFound
from app.tasks.commands import Comment, DeleteComment, EditComment
from app.tasks.decision_context import CommentThen, DecisionContext
from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from app.tasks.mentions import mentions_in
from app.tasks.state import Task


def comment(command: Comment, task: Task, around: DecisionContext) -> TaskCommented:
    """Add a comment; notify the mentioned members and the users whom the task concerns."""
    mentioned = around.members(_mentions(command.text, around))
    concerned = {*task.assignees, task.created_by, *around.commenters}.difference(mentioned)
    return TaskCommented(command.comment_id, command.text, mentioned, around.members(concerned))


def edit_comment(command: EditComment, around: DecisionContext) -> TaskCommentEdited | None:
    """Change the text; return None if it is the same. Raise `NotFound` or `Forbidden`."""
    then = _own_comment(around)
    if then.text == command.text:
        return None
    known = set(_mentions(then.text, around))
    mentioned = around.members(set(_mentions(command.text, around)) - known)
    return TaskCommentEdited(command.comment_id, command.text, mentioned)


def delete_comment(command: DeleteComment, around: DecisionContext) -> TaskCommentDeleted:
    """Delete a comment, as its author or as an owner of the list. Raise `NotFound` or `Forbidden`."""
    role = around.home.members.get(around.user) if around.home is not None else None
    if role != "owner":
        _own_comment(around)
    elif around.comment is None:
        raise NotFound("no such comment")
    return TaskCommentDeleted(command.comment_id)


def _own_comment(around: DecisionContext) -> CommentThen:
    if around.comment is None:
        raise NotFound("no such comment")
    if around.comment.author != around.user:
        raise Forbidden(f"this comment is {around.comment.author}'s")
    return around.comment


def _mentions(text: str, around: DecisionContext) -> tuple[str, ...]:
    return mentions_in(text, around.home.members if around.home is not None else ())
