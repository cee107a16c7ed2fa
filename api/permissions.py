"""Who may do what: one may see the tasks of one's own lists, and change them unless one is a viewer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.errors import Forbidden, NotFound
from app.fold import State
from app.ids import inbox_id
from app.lists import CreateInbox, CreateList, DeleteList, ListCommand, RenameList, Role, TaskList
from app.tasks import CreateTask, MoveTask, Task, TaskCommand

LoadState = Callable[[str], Awaitable[State | None]]
"""Gives the newest state of a stream."""

Command = TaskCommand | ListCommand


async def check(command: Command, state: State | None, user: str, load: LoadState) -> None:
    """Check that `user` may give `command` to a stream in `state`. Raises `NotFound` or `Forbidden`.

    What one may not see is not found, and so are the tasks of a deleted list.
    """
    match command:
        case CreateList() | CreateInbox():
            return
        case RenameList():
            _may_write(_role(state, user), "no such list")
        case DeleteList():
            if _role(state, user) == "editor":
                raise Forbidden("only its owner may delete a list")
            _may_write(_role(state, user), "no such list")
        case CreateTask(list_id=list_id):
            _may_write(await _role_in(list_id, user, load), "no such list")
        case _:
            role = await _role_in(state.list_id, user, load) if isinstance(state, Task) else None
            _may_write(role, "no such task")
            if isinstance(command, MoveTask):
                _may_write(await _role_in(command.list_id, user, load), "no such list")


def _may_write(role: Role | None, missing: str) -> None:
    if role is None:
        raise NotFound(missing)
    if role == "viewer":
        raise Forbidden("you may look at this list, and not change it")


def _role(state: State | None, user: str) -> Role | None:
    if not isinstance(state, TaskList) or state.deleted_at is not None:
        return None
    return state.members.get(user)


async def _role_in(list_id: str, user: str, load: LoadState) -> Role | None:
    state = await load(f"list:{list_id}")
    # Everyone's inbox is theirs, also in the moment before it is in the read models.
    if state is None and list_id == inbox_id(user):
        return "owner"
    return _role(state, user)
