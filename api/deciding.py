"""Deciding on either kind of stream: the deciders and the merge of the domain, chosen by the command."""

from __future__ import annotations

from app import lists, merge, tasks
from app.errors import Conflict, PreconditionFailed
from app.fold import State
from app.lists import DeleteList, ListCommand, RenameList, TaskList
from app.tasks import Task, TaskCommand


def decide(
    command: TaskCommand | ListCommand, state: State | None
) -> tasks.TaskEvent | lists.ListEvent | None:
    """The event that a command makes of a task or list; see the deciders of the domain."""
    if isinstance(command, ListCommand):
        assert not isinstance(state, Task)
        return lists.decide(command, state)
    assert not isinstance(state, TaskList)
    return tasks.decide(command, state)


def check_merge(command: TaskCommand | ListCommand, base: State, current: State) -> None:
    """Check that a command meant for `base` may be applied to `current`. Raises as `app.merge.check`."""
    if isinstance(base, Task) and isinstance(current, Task):
        assert not isinstance(command, ListCommand)
        merge.check(command, base, current)
    elif isinstance(base, TaskList) and isinstance(current, TaskList):
        _check_lists(command, base, current)


def _check_lists(command: TaskCommand | ListCommand, base: TaskList, current: TaskList) -> None:
    if isinstance(command, DeleteList):
        raise PreconditionFailed(f"the list is at version {current.version} by now; read it first")
    if isinstance(command, RenameList) and base.name != current.name != command.name:
        raise Conflict(
            f"somebody else changed name since version {base.version}",
            base={"name": base.name},
            theirs={"name": current.name},
            yours={"name": command.name},
        )
