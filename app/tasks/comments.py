"""The decider of commands on comments."""

from __future__ import annotations

from app.errors import Forbidden, NotFound
from app.lists.members import is_owner, names_of
from app.tasks.commands import Comment, DeleteComment, EditComment
from app.tasks.decision_context import DecisionContext, PriorComment
from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from app.tasks.mentions import mentions_in
from app.tasks.state import Task


def comment(command: Comment, task: Task, context: DecisionContext) -> TaskCommented:
    """Add a comment; notify the mentioned members and the users whom the task concerns."""
    mentioned = context.members(_mentions(command.text, context))
    concerned = {*task.assignees, task.created_by, *context.commenters}.difference(mentioned)
    return TaskCommented(command.comment_id, command.text, mentioned, context.members(concerned))


def edit_comment(command: EditComment, context: DecisionContext) -> TaskCommentEdited | None:
    """Change the text; return None if it is the same. Raise `NotFound` or `Forbidden`."""
    then = _own_comment(context)
    if then.text == command.text:
        return None
    known = set(_mentions(then.text, context))
    mentioned = context.members(set(_mentions(command.text, context)) - known)
    return TaskCommentEdited(command.comment_id, command.text, mentioned)


def delete_comment(command: DeleteComment, context: DecisionContext) -> TaskCommentDeleted:
    """Delete a comment, as its author or as an owner of the list. Raise `NotFound` or `Forbidden`."""
    if not is_owner(context.home, context.user):
        _own_comment(context)
    elif context.comment is None:
        raise NotFound("no such comment")
    return TaskCommentDeleted(command.comment_id)


def _own_comment(context: DecisionContext) -> PriorComment:
    if context.comment is None:
        raise NotFound("no such comment")
    if context.comment.author != context.user:
        raise Forbidden(f"this comment is {context.comment.author}'s")
    return context.comment


def _mentions(text: str, context: DecisionContext) -> tuple[str, ...]:
    return mentions_in(text, names_of(context.home))
