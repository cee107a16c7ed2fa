"""The context of a decision beyond its own stream: the user, the time, and related state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from app.lists.commands import Occupied
from app.lists.members import kept
from app.lists.state import TaskList
from app.tasks.state import Task
from app.values import Status


@dataclass(frozen=True, slots=True)
class SubTask:
    """A task below another; `depth` is 1 for its own sub-tasks, 2 for theirs."""

    id: str
    list_id: str
    status: Status
    depth: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A place in a list's order: after the rank `low` and before `high`; None is the end of the list."""

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class PriorComment:
    """A comment in its state before the command."""

    author: str
    text: str


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event of a task: the user of its command, and the version that it undid if it is an undo."""

    version: int
    type: str
    actor: str
    undid: int | None


@dataclass(frozen=True, slots=True)
class Along:
    """Another task that the same command changed: the versions of its events, newest first.

    `depth` is 1 for a sub-task, 2 for those of a sub-task, -1 for the parent, -2 for the one above that.
    """

    id: str
    depth: int
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """An event to undo: the user of its command, and the states before and after it.

    `along` are the tasks below and above that the same command changed, the deepest first.
    """

    actor: str
    before: Task | None
    after: Task
    along: tuple[Along, ...] = ()


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """The context of a decision beyond the task: the user, the time, and related state.

    `home` is the task's list, and `target` the list to move it to, at the place `gap`. `ancestors` are those
    of the new parent, which comes first. `next_occurrence` is the task that follows in its series.
    `open_children` counts the sub-tasks on all levels that are not done, and `levels_below` the levels.
    `occupied` has the stages of a list that contain tasks.
    """

    user: str
    now: datetime
    home: TaskList | None = None
    target: TaskList | None = None
    gap: Gap | None = None
    ancestors: tuple[Task, ...] = ()
    open_children: int = 0
    levels_below: int = 0
    comment: PriorComment | None = None
    commenters: frozenset[str] = frozenset()
    change: Change | None = None
    next_occurrence: Task | None = None
    occupied: Occupied = field(default_factory=dict)

    def members(self, users: set[str] | tuple[str, ...]) -> tuple[str, ...]:
        """Return those of `users` who see the list, without the user who decides."""
        return tuple(sorted(kept(users, self.home) - {self.user}))
