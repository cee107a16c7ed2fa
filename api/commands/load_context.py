"""What a decision looks at beside its stream, and whether its user may give the command at all."""

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
from app.lists.state import TaskList
from app.log.fold import State
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
    SkipOccurrence,
    TaskCommand,
    UndoChange,
)
from app.tasks.decision_context import Change, CommentThen, DecisionContext, Gap, SubTask
from app.tasks.series import next_id
from app.tasks.state import Task
from app.users import User, UserCommand

LoadState = Callable[[str], Awaitable[State | None]]
"""Gives the newest state of a stream."""
NO_LIST, NO_TASK = "no such list", "no such task"


class ContextQueries(Protocol):
    """What the read models know of what lies around a stream."""

    async def sub_tasks(self, task_id: str) -> Sequence[SubTask]:
        """The tasks below a task, on any level, that are not deleted, the deepest first."""

    async def tops(self, task_ids: Collection[str]) -> Mapping[str, str]:
        """The tasks on the uppermost level that these are below of, or are; those not there are left out."""

    async def occupied(self, list_id: str) -> Occupied:
        """Which stages of a list its tasks are in."""

    async def gap(self, list_id: str, task_id: str, *, before: str | None, after: str | None) -> Gap | None:
        """The place in a list right after a task, else right before one, else at its end.

        `after` counts unless it is not in the list; None if neither is. The task `task_id` is left out.
        """

    async def change(self, task: Task, version: int | None, user: str) -> Change | None:
        """What event `version` changed, or the user's newest event that can be undone, if there is one.

        Only what has led to `task` counts. Raises `Unavailable` while that is not visible yet.
        """

    async def comment(self, task_id: str, comment_id: str) -> CommentThen | None:
        """A comment that is not deleted."""

    async def commenters(self, task_id: str) -> frozenset[str]:
        """Who has commented on a task."""


async def load_context(
    command: AnyCommand,
    state: State | None,
    user: str,
    now: datetime,
    load: LoadState,
    around: ContextQueries,
) -> DecisionContext:
    """What `command` may look at. Raises `NotFound` or `Forbidden` if `user` may not give it.

    What one may not see is not found, and so are the tasks of a deleted list.
    """
    found = DecisionContext(user, now)
    if isinstance(command, ListCommand):
        return await _around_list(command, state, found, around)
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
    return await _around_task(command, state, replace(found, home=home), load, around)


async def _around_list(
    command: ListCommand, state: State | None, found: DecisionContext, around: ContextQueries
) -> DecisionContext:
    if isinstance(command, CreateList | CreateInbox):
        return found
    task_list = state if isinstance(state, TaskList) else None
    authorisation.check_in(task_list, type(command), found.user, NO_LIST)
    if isinstance(command, EditList) and command.stages is not None and task_list is not None:
        return replace(found, occupied=await around.occupied(task_list.id))
    return found


def _check_user(state: State | None, user: str) -> None:
    if state is not None and (not isinstance(state, User) or state.id != user):
        raise Forbidden("this is another user's")


async def _around_task(
    command: TaskCommand, task: Task, found: DecisionContext, load: LoadState, around: ContextQueries
) -> DecisionContext:
    match command:
        case EditTask():
            return await _around_edit(command, task, found, load, around)
        case MoveTask():
            return await _around_move(command, task, found, load, around)
        case CompleteTask() | DeleteTask():
            return _with_sub_tasks(found, await around.sub_tasks(task.id))
        case RestoreTask():
            found = replace(found, ancestors=await _ancestors(task.parent_id, load))
            return _with_sub_tasks(found, await around.sub_tasks(task.id))
        case SkipOccurrence():
            state = await load(f"task:{next_id(task.series)}") if task.series is not None else None
            return replace(found, next_occurrence=state if isinstance(state, Task) else None)
        case Comment():
            return replace(found, commenters=await around.commenters(task.id))
        case EditComment(comment_id=comment_id) | DeleteComment(comment_id=comment_id):
            return replace(found, comment=await around.comment(task.id, comment_id))
        case UndoChange(version=version):
            change = await around.change(task, version, found.user)
            return found if change is None else await _around_change(change, task, found, load, around)
        case _:
            return found


async def _around_edit(
    command: EditTask, task: Task, found: DecisionContext, load: LoadState, around: ContextQueries
) -> DecisionContext:
    if command.parent_id is not None:
        found = replace(found, ancestors=await _ancestors(command.parent_id, load))
    if command.parent_id is None and command.stage is None:
        return found
    return _with_sub_tasks(found, await around.sub_tasks(task.id))


async def _around_move(
    command: MoveTask, task: Task, found: DecisionContext, load: LoadState, around: ContextQueries
) -> DecisionContext:
    list_id = command.list_id or task.list_id
    if list_id != task.list_id:
        found = replace(found, target=await _target(list_id, found.user, load))
    if command.stage is not None:
        found = _with_sub_tasks(found, await around.sub_tasks(task.id))
    beside = command.before is not None or command.after is not None
    if not beside and (command.keep_parent or list_id == task.list_id):
        return found
    return replace(found, gap=await _gap(command, list_id, task, around))


async def _gap(command: MoveTask, list_id: str, task: Task, around: ContextQueries) -> Gap:
    for name in ("before", "after"):
        if getattr(command, name) == task.id:
            raise Invalid([FieldError(name, "must be another task")])
    gap = await around.gap(list_id, task.id, before=command.before, after=command.after)
    if gap is None:
        name = "before" if command.after is None else "after"
        raise Invalid([FieldError(name, "must be a task of the list that the task is to be in")])
    return gap


async def _around_change(
    change: Change, task: Task, found: DecisionContext, load: LoadState, around: ContextQueries
) -> DecisionContext:
    """What undoing a change has to look at: where the task would be, under which parent, with what below."""
    found = replace(found, change=change)
    before, after = change.before, change.after
    if before is not None and before.list_id != after.list_id:
        found = replace(found, target=await _target(before.list_id, found.user, load))
    if before is not None and before.parent_id != after.parent_id:
        found = replace(found, ancestors=await _ancestors(before.parent_id, load))
    elif task.deleted_at is not None:
        found = replace(found, ancestors=await _ancestors(task.parent_id, load))
    along = {each.id for each in change.along}
    below = [each for each in await around.sub_tasks(task.id) if each.id not in along]
    return _with_sub_tasks(found, below)


def _with_sub_tasks(found: DecisionContext, below: Sequence[SubTask]) -> DecisionContext:
    return replace(
        found,
        open_children=sum(each.status == "open" for each in below),
        levels_below=max((each.depth for each in below), default=0),
    )


async def _list(list_id: str, user: str, load: LoadState) -> TaskList | None:
    state = await load(f"list:{list_id}")
    if isinstance(state, TaskList):
        return state
    # Everyone's inbox is theirs, also in the moment before it is in the read models.
    return _inbox(user) if state is None and list_id == inbox_id(user) else None


def _inbox(user: str) -> TaskList:
    never = datetime.min.replace(tzinfo=UTC)
    return TaskList(inbox_id(user), "", True, {user: "owner"}, (), 0, never, user, never)


async def _target(list_id: str, user: str, load: LoadState) -> TaskList | None:
    """The list that a task goes to; one has to be allowed to create tasks there."""
    target = await _list(list_id, user, load)
    authorisation.check_in(target, CreateTask, user, NO_LIST)
    return target


async def _ancestors(parent_id: str | None, load: LoadState) -> tuple[Task, ...]:
    """The tasks above, from the parent on; no more than are needed to see that there are too many."""
    found: list[Task] = []
    while parent_id is not None and len(found) < MAX_DEPTH:
        state = await load(f"task:{parent_id}")
        if not isinstance(state, Task):
            break
        found.append(state)
        parent_id = state.parent_id
    return tuple(found)
