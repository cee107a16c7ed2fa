"""Deciding on any kind of stream: the deciders and the merges of the domain, chosen by the command."""

from __future__ import annotations

from api.surroundings import AnyCommand
from app import lists, merge, task_decisions, users
from app.errors import Conflict, PreconditionFailed
from app.fold import State
from app.lists import DeleteList, EditList, ListCommand, TaskList
from app.records import Event
from app.surroundings import Surroundings
from app.tasks import Task
from app.users import UserCommand


def decide(command: AnyCommand, state: State | None, around: Surroundings) -> Event | None:
    """The event that a command makes of a stream; see the deciders of the domain."""
    if isinstance(command, UserCommand):
        return users.decide(command)
    if isinstance(command, ListCommand):
        assert state is None or isinstance(state, TaskList)
        return lists.decide(command, state, around.user, around.occupied)
    assert state is None or isinstance(state, Task)
    return task_decisions.decide(command, state, around)


def merged(command: AnyCommand, base: State, current: State) -> AnyCommand:
    """`command`, meant for `base`, as it is to be applied to `current`. Raises as `app.merge.merged`."""
    if isinstance(base, Task) and isinstance(current, Task):
        assert not isinstance(command, ListCommand | UserCommand)
        return merge.merged(command, base, current)
    if isinstance(base, TaskList) and isinstance(current, TaskList):
        _check_lists(command, base, current)
    return command


def _check_lists(command: AnyCommand, base: TaskList, current: TaskList) -> None:
    if isinstance(command, DeleteList):
        raise PreconditionFailed(f"the list is at version {current.version} by now; read it first")
    if not isinstance(command, EditList):
        return
    yours = lists.wanted_fields(command)
    apart = sorted(
        name
        for name, value in yours.items()
        if getattr(base, name) != getattr(current, name) and value != getattr(current, name)
    )
    if apart:
        raise Conflict(
            f"somebody else changed {', '.join(apart)} since version {base.version}",
            base={name: getattr(base, name) for name in apart},
            theirs={name: getattr(current, name) for name in apart},
            yours={name: yours[name] for name in apart},
        )
