"""Deciding on any kind of stream: the deciders and the merges of the domain, chosen by the command."""

from __future__ import annotations

from typing import TypeAlias

from app import users
from app.conflicts import merge
from app.lists import decide as list_decisions
from app.lists.commands import ListCommand
from app.lists.state import TaskList
from app.log.fold import State
from app.log.records import Event
from app.tasks import decide as task_decisions
from app.tasks.commands import (
    TaskCommand,
)
from app.tasks.decision_context import DecisionContext
from app.tasks.state import Task
from app.users import UserCommand


def decide(command: AnyCommand, state: State | None, around: DecisionContext) -> Event | None:
    """The event that a command makes of a stream; see the deciders of the domain."""
    if isinstance(command, UserCommand):
        return users.decide(command)
    if isinstance(command, ListCommand):
        assert state is None or isinstance(state, TaskList)
        return list_decisions.decide(command, state, around.user, around.occupied)
    assert state is None or isinstance(state, Task)
    return task_decisions.decide(command, state, around)


def merged(command: AnyCommand, base: State, current: State) -> AnyCommand:
    """`command`, meant for `base`, as it is to be applied to `current`. Raises as `app.conflicts.merge`."""
    if isinstance(base, Task) and isinstance(current, Task):
        assert not isinstance(command, ListCommand | UserCommand)
        return merge.merged(command, base, current)
    if isinstance(base, TaskList) and isinstance(current, TaskList):
        assert isinstance(command, ListCommand)
        return merge.merged_list(command, base, current)
    return command


AnyCommand: TypeAlias = TaskCommand | ListCommand | UserCommand
