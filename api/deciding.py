"""Deciding on any kind of stream: the deciders and the merges of the domain, chosen by the command."""

from __future__ import annotations

from api.surroundings import AnyCommand
from app import list_decisions, merge, task_decisions, users
from app.fold import State
from app.lists import ListCommand, TaskList
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
        return list_decisions.decide(command, state, around.user, around.occupied)
    assert state is None or isinstance(state, Task)
    return task_decisions.decide(command, state, around)


def merged(command: AnyCommand, base: State, current: State) -> AnyCommand:
    """`command`, meant for `base`, as it is to be applied to `current`. Raises as `app.merge`."""
    if isinstance(base, Task) and isinstance(current, Task):
        assert not isinstance(command, ListCommand | UserCommand)
        return merge.merged(command, base, current)
    if isinstance(base, TaskList) and isinstance(current, TaskList):
        assert isinstance(command, ListCommand)
        return merge.merged_list(command, base, current)
    return command
