"""Decisions on any kind of stream: dispatch of a command to its decider or merge."""

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


def decide(command: AnyCommand, state: State | None, context: DecisionContext) -> Event | None:
    """Return the event that a command produces on a stream, by the decider of its kind."""
    if isinstance(command, UserCommand):
        return users.decide(command)
    if isinstance(command, ListCommand):
        assert state is None or isinstance(state, TaskList)
        return list_decisions.decide(command, state, context.user, context.occupied)
    assert state is None or isinstance(state, Task)
    return task_decisions.decide(command, state, context)


def merged(command: AnyCommand, base: State, current: State) -> AnyCommand:
    """Return `command`, made for `base`, as it applies to `current`. Raise as `app.conflicts.merge` does."""
    if isinstance(base, Task) and isinstance(current, Task):
        assert not isinstance(command, ListCommand | UserCommand)
        return merge.merged(command, base, current)
    if isinstance(base, TaskList) and isinstance(current, TaskList):
        assert isinstance(command, ListCommand)
        return merge.merged_list(command, base, current)
    return command


AnyCommand: TypeAlias = TaskCommand | ListCommand | UserCommand
