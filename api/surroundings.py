"""What a decision looks at beside its stream, and whether its user may give the command at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from app import authorisation
from app.errors import Forbidden, NotFound
from app.fold import State
from app.ids import inbox_id
from app.lists import CreateInbox, CreateList, EditList, ListCommand, Occupied, TaskList
from app.surroundings import Change, CommentThen, Surroundings
from app.task_commands import (
    Comment,
    CompleteTask,
    CreateTask,
    DeleteComment,
    DeleteTask,
    EditComment,
    EditTask,
    MoveTask,
    TaskCommand,
    UndoChange,
)
from app.task_rules import MAX_DEPTH
from app.tasks import Task
from app.users import User, UserCommand
from app.values import Role

LoadState = Callable[[str], Awaitable[State | None]]
"""Gives the newest state of a stream."""
AnyCommand: TypeAlias = TaskCommand | ListCommand | UserCommand
NO_LIST, NO_TASK = "no such list", "no such task"


class Around(Protocol):
    """What the read models know of a task's surroundings."""

    async def state_at(self, stream: str, version: int) -> State | None:
        """The state of a stream after its first `version` events."""

    async def actor_at(self, stream: str, version: int) -> str | None:
        """Who did the event that made a stream's `version`."""

    async def open_children(self, task_id: str) -> int:
        """How many sub-tasks of a task are neither done nor deleted."""

    async def occupied(self, list_id: str) -> Occupied:
        """Which stages of a list its tasks are in."""

    async def comment(self, task_id: str, comment_id: str) -> CommentThen | None:
        """A comment that is not deleted."""

    async def commenters(self, task_id: str) -> frozenset[str]:
        """Who has commented on a task."""


async def gather(
    command: AnyCommand, state: State | None, user: str, now: datetime, load: LoadState, around: Around
) -> Surroundings:
    """What `command` may look at. Raises `NotFound` or `Forbidden` if `user` may not give it.

    What one may not see is not found, and so are the tasks of a deleted list.
    """
    if isinstance(command, ListCommand):
        return await _around_list(command, state, Surroundings(user, now), around)
    if isinstance(command, UserCommand):
        _check_user(state, user)
        return Surroundings(user, now)
    return await _around_task(command, state, Surroundings(user, now), load, around)


async def _around_list(
    command: ListCommand, state: State | None, found: Surroundings, around: Around
) -> Surroundings:
    if isinstance(command, CreateList | CreateInbox):
        return found
    task_list = state if isinstance(state, TaskList) else None
    authorisation.check(type(command), _role(task_list, found.user), NO_LIST)
    if isinstance(command, EditList) and command.stages is not None and task_list is not None:
        return replace(found, occupied=await around.occupied(task_list.id))
    return found


def _check_user(state: State | None, user: str) -> None:
    if state is not None and (not isinstance(state, User) or state.id != user):
        raise Forbidden("this is another user's")


async def _around_task(
    command: TaskCommand, state: State | None, found: Surroundings, load: LoadState, around: Around
) -> Surroundings:
    task = state if isinstance(state, Task) else None
    user, now = found.user, found.now
    creates = isinstance(command, CreateTask)
    if task is None and not creates:
        raise NotFound(NO_TASK)
    home = await _list(command.list_id if isinstance(command, CreateTask) else _home(task), user, load)
    authorisation.check(type(command), _role(home, user), NO_LIST if creates else NO_TASK)
    found = Surroundings(user, now, home)
    match command:
        case CreateTask(parent_id=parent_id) | EditTask(parent_id=parent_id):
            ancestors = await _ancestors(parent_id, load)
            children = 0 if task is None or creates else await _children_if_staged(command, task, around)
            return Surroundings(user, now, home, ancestors=ancestors, open_children=children)
        case MoveTask(list_id=list_id):
            target = home if list_id in (None, _home(task)) else await _target(list_id, user, load)
            assert task is not None
            children = await _children_if_staged(command, task, around)
            return Surroundings(user, now, home, target=target, open_children=children)
        case CompleteTask() | DeleteTask():
            assert task is not None
            return Surroundings(user, now, home, open_children=await around.open_children(task.id))
        case Comment():
            assert task is not None
            return Surroundings(user, now, home, commenters=await around.commenters(task.id))
        case EditComment(comment_id=comment_id) | DeleteComment(comment_id=comment_id):
            assert task is not None
            return Surroundings(user, now, home, comment=await around.comment(task.id, comment_id))
        case UndoChange(version=version):
            assert task is not None
            change = await _change(task, version, around)
            if change is not None and change.before is not None:
                await _target(change.before.list_id, user, load)
            return Surroundings(user, now, home, change=change)
        case _:
            return found


def _home(task: Task | None) -> str:
    return "" if task is None else task.list_id


async def _list(list_id: str | None, user: str, load: LoadState) -> TaskList | None:
    state = await load(f"list:{list_id}")
    if isinstance(state, TaskList):
        return state
    # Everyone's inbox is theirs, also in the moment before it is in the read models.
    return _inbox(user) if state is None and list_id == inbox_id(user) else None


def _inbox(user: str) -> TaskList:
    never = datetime.min.replace(tzinfo=UTC)
    return TaskList(inbox_id(user), "", True, {user: "owner"}, (), 0, never, user, never)


def _role(task_list: TaskList | None, user: str) -> Role | None:
    return authorisation.role_in(task_list, user)


async def _target(list_id: str | None, user: str, load: LoadState) -> TaskList | None:
    """The list that a task goes to; one has to be allowed to create tasks there."""
    target = await _list(list_id, user, load)
    authorisation.check(CreateTask, _role(target, user), NO_LIST)
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


async def _children_if_staged(command: TaskCommand, task: Task, around: Around) -> int:
    """The open sub-tasks, if the command might complete the task by its stage."""
    staged = isinstance(command, EditTask | MoveTask) and command.stage is not None
    return await around.open_children(task.id) if staged and task.status == "open" else 0


async def _change(task: Task, version: int, around: Around) -> Change | None:
    stream = f"task:{task.id}"
    actor = await around.actor_at(stream, version)
    after = await around.state_at(stream, version)
    before = await around.state_at(stream, version - 1) if version > 1 else None
    if actor is None or not isinstance(after, Task):
        return None
    return Change(actor, before if isinstance(before, Task) else None, after)
