"""What a decision may look at beside its own stream: who decides, when, and what lies around."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from app.lists.commands import Occupied
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
    """A place in a list's order: behind the rank `low` and before `high`; None is the end of the list."""

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class CommentThen:
    """A comment as it is before the command."""

    author: str
    text: str


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event of a task: whose command it was, and which version it undid if it is an undo."""

    version: int
    type: str
    actor: str
    undid: int | None


@dataclass(frozen=True, slots=True)
class Along:
    """Another task that was changed along with the task: by which of its events, the newest first.

    `depth` is 1 for a sub-task, 2 for those of a sub-task, -1 for the parent, -2 for the one above that.
    """

    id: str
    depth: int
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """An event that somebody wants undone: who did it, and the states around it.

    `along` are the tasks below and above that the same command had changed, the deepest first.
    """

    actor: str
    before: Task | None
    after: Task
    along: tuple[Along, ...] = ()


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """What a decision may look at beside the task: who decides, when, and what lies around.

    `home` is the task's list, and `target` the one it is wanted in, at the place `gap`. `ancestors` are those
    of the parent that is wanted, itself first. `next_occurrence` is what comes after the task in its series.
    `open_children` counts the sub-tasks on any level that are not
    done, and `levels_below` the levels. `occupied` says which stages of a list its tasks are in.
    """

    user: str
    now: datetime
    home: TaskList | None = None
    target: TaskList | None = None
    gap: Gap | None = None
    ancestors: tuple[Task, ...] = ()
    open_children: int = 0
    levels_below: int = 0
    comment: CommentThen | None = None
    commenters: frozenset[str] = frozenset()
    change: Change | None = None
    next_occurrence: Task | None = None
    occupied: Occupied = field(default_factory=dict)

    def members(self, users: set[str] | tuple[str, ...]) -> tuple[str, ...]:
        """Those of `users` who see the list and did not do this themselves."""
        seeing = self.home.members if self.home is not None else {}
        return tuple(sorted(user for user in set(users) if user in seeing and user != self.user))
