"""Loads the context of a decision, and checks whether the user may give the command at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from app import authorisation
from app.deciders import AnyCommand
from app.errors import FieldError, Forbidden, Invalid, NotFound
from app.ids import inbox_id
from app.lists.commands import CreateInbox, CreateList, EditList, ListCommand, Occupied
from app.lists.members import founded_by
from app.lists.state import TaskList
from app.log.fold import State
from app.stream_ids import StreamId, list_stream, task_stream
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
    RestoreTask,
    RevertTask,
    SkipOccurrence,
    TaskCommand,
    UndoChange,
)
from app.tasks.decision_context import Change, DecisionContext, Gap, PriorComment, SubTask
from app.tasks.series import next_id
from app.tasks.state import Task
from app.users import User, UserCommand

LoadState = Callable[[StreamId], Awaitable[State | None]]
"""Loads the newest state of a stream."""
NO_LIST, NO_TASK = "no such list", "no such task"


class ContextQueries(Protocol):
    """Queries to the read models about the surroundings of a stream."""

    async def sub_tasks(self, task_id: str) -> Sequence[SubTask]:
        """Return the tasks below a task, on any level, that are not deleted, deepest first."""

    async def tops(self, task_ids: Collection[str]) -> Mapping[str, str]:
        """Map each task to its topmost ancestor, or to itself; tasks that do not exist are left out."""

    async def occupied(self, list_id: str) -> Occupied:
        """Return the stages of a list that its tasks are in."""

    async def gap(self, list_id: str, task_id: str, *, before: str | None, after: str | None) -> Gap | None:
        """Return the gap in a list right after a task, else right before one, else at its end.

        `after` takes precedence if it is in the list; return None if neither is. The task `task_id` is
        ignored.
        """

    async def change(self, task: Task, version: int | None, user: str) -> Change | None:
        """Return the change of event `version`, or of the user's newest event that can be undone, if any.

        Only events that led to `task` count. Raise `Unavailable` while that event is not visible yet.
        """

    async def comment(self, task_id: str, comment_id: str) -> PriorComment | None:
        """Return a comment that is not deleted."""

    async def commenters(self, task_id: str) -> frozenset[str]:
        """Return the users who have commented on a task."""


async def load_context(
    command: AnyCommand,
    state: State | None,
    user: str,
    now: datetime,
    load: LoadState,
    queries: ContextQueries,
) -> DecisionContext:
    """Return the decision context of `command`. Raise `NotFound` or `Forbidden` if `user` may not give it.

    What the user may not see is not found, and neither are the tasks of a deleted list.
    """
    found = DecisionContext(user, now)
    if isinstance(command, ListCommand):
        return await _list_context(command, state, found, queries)
    if isinstance(command, UserCommand):
        _check_user(state, user)
        return found
    if isinstance(command, CreateTask):
        home = await _list(command.list_id, user, load)
        authorisation.check_in(home, CreateTask, user, NO_LIST)
        return replace(found, home=home, ancestors=await _ancestors(command.parent_id, load))
    if not isinstance(state, Task):
        raise NotFound(NO_TASK)
    home = await _list(state.list_id, user, load)
    authorisation.check_in(home, type(command), user, NO_TASK)
    return await _task_context(command, state, replace(found, home=home), load, queries)


async def _list_context(
    command: ListCommand, state: State | None, found: DecisionContext, queries: ContextQueries
) -> DecisionContext:
    if isinstance(command, CreateList | CreateInbox):
        return found
    task_list = state if isinstance(state, TaskList) else None
    authorisation.check_in(task_list, type(command), found.user, NO_LIST)
    if isinstance(command, EditList) and command.stages is not None and task_list is not None:
        return replace(found, occupied=await queries.occupied(task_list.id))
    return found


def _check_user(state: State | None, user: str) -> None:
    if state is not None and (not isinstance(state, User) or state.id != user):
        raise Forbidden("this is another user's")


async def _task_context(
    command: TaskCommand, task: Task, found: DecisionContext, load: LoadState, queries: ContextQueries
) -> DecisionContext:
    match command:
        case EditTask():
            return await _edit_context(command, task, found, load, queries)
        case MoveTask():
            return await _move_context(command, task, found, load, queries)
        case CompleteTask() | DeleteTask():
            return _with_sub_tasks(found, await queries.sub_tasks(task.id))
        case RestoreTask():
            found = replace(found, ancestors=await _ancestors(task.parent_id, load))
            return _with_sub_tasks(found, await queries.sub_tasks(task.id))
        case SkipOccurrence():
            state = await load(task_stream(next_id(task.series))) if task.series is not None else None
            return replace(found, next_occurrence=state if isinstance(state, Task) else None)
        case Comment():
            return replace(found, commenters=await queries.commenters(task.id))
        case EditComment(comment_id=comment_id) | DeleteComment(comment_id=comment_id):
            return replace(found, comment=await queries.comment(task.id, comment_id))
        case UndoChange(version=version) | RevertTask(version=version):
            change = await queries.change(task, version, found.user)
            if change is not None and isinstance(command, RevertTask):
                change = Change(change.actor, change.after, task)  # all changes since
            return found if change is None else await _undo_context(change, task, found, load, queries)
        case _:
            return found


async def _edit_context(
    command: EditTask, task: Task, found: DecisionContext, load: LoadState, queries: ContextQueries
) -> DecisionContext:
    if command.parent_id is not None:
        found = replace(found, ancestors=await _ancestors(command.parent_id, load))
    if command.parent_id is None and command.stage is None:
        return found
    return _with_sub_tasks(found, await queries.sub_tasks(task.id))


async def _move_context(
    command: MoveTask, task: Task, found: DecisionContext, load: LoadState, queries: ContextQueries
) -> DecisionContext:
    list_id = command.list_id or task.list_id
    if list_id != task.list_id:
        found = replace(found, target=await _target(list_id, found.user, load))
    if command.stage is not None:
        found = _with_sub_tasks(found, await queries.sub_tasks(task.id))
    has_neighbour = command.before is not None or command.after is not None
    if not has_neighbour and (command.keep_parent or list_id == task.list_id):
        return found
    return replace(found, gap=await _gap(command, list_id, task, queries))


async def _gap(command: MoveTask, list_id: str, task: Task, queries: ContextQueries) -> Gap:
    for name in ("before", "after"):
        if getattr(command, name) == task.id:
            raise Invalid([FieldError(name, "must be another task")])
    gap = await queries.gap(list_id, task.id, before=command.before, after=command.after)
    if gap is None:
        name = "before" if command.after is None else "after"
        raise Invalid([FieldError(name, "must be a task in the target list")])
    return gap


async def _undo_context(
    change: Change, task: Task, found: DecisionContext, load: LoadState, queries: ContextQueries
) -> DecisionContext:
    """Load the context of undoing a change: the task's former list, its ancestors, and its sub-tasks."""
    found = replace(found, change=change)
    before, after = change.before, change.after
    if before is not None and before.list_id != after.list_id:
        found = replace(found, target=await _target(before.list_id, found.user, load))
    if before is not None and before.parent_id != after.parent_id:
        found = replace(found, ancestors=await _ancestors(before.parent_id, load))
    elif task.deleted_at is not None:
        found = replace(found, ancestors=await _ancestors(task.parent_id, load))
    along = {each.id for each in change.along}
    below = [each for each in await queries.sub_tasks(task.id) if each.id not in along]
    return _with_sub_tasks(found, below)


def _with_sub_tasks(found: DecisionContext, below: Sequence[SubTask]) -> DecisionContext:
    return replace(
        found,
        open_children=sum(each.status == "open" for each in below),
        levels_below=max((each.depth for each in below), default=0),
    )


async def _list(list_id: str, user: str, load: LoadState) -> TaskList | None:
    state = await load(list_stream(list_id))
    if isinstance(state, TaskList):
        return state
    # Everyone owns their inbox, even before it is in the read models.
    return _inbox(user) if state is None and list_id == inbox_id(user) else None


def _inbox(user: str) -> TaskList:
    never = datetime.min.replace(tzinfo=UTC)
    return TaskList(inbox_id(user), "", True, founded_by(user), (), 0, never, user, never)


async def _target(list_id: str, user: str, load: LoadState) -> TaskList | None:
    """Return the list that a task moves to; the user must be allowed to create tasks there."""
    target = await _list(list_id, user, load)
    authorisation.check_in(target, CreateTask, user, NO_LIST)
    return target


async def _ancestors(parent_id: str | None, load: LoadState) -> tuple[Task, ...]:
    """Return the ancestors from the parent on; no more than needed to detect that there are too many."""
    found: list[Task] = []
    while parent_id is not None and len(found) < MAX_DEPTH:
        state = await load(task_stream(parent_id))
        if not isinstance(state, Task):
            break
        found.append(state)
        parent_id = state.parent_id
    return tuple(found)
