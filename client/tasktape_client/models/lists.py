"""Lists and their stages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from tasktape_client.models.base import Answered
from tasktape_client.models.tasks import Task
from tasktape_client.models.words import Category, Role


class Stage(TypedDict):
    """A column of a list, and the status category of the tasks in it."""

    name: str
    category: Category


class Refused(Answered):
    """A task that a revert or a copy of its list left out, with the reason."""

    task_id: str
    title: str
    code: str
    detail: str


class RevertedTask(Answered):
    """A task that a revert changes, with each field's value before and after."""

    task_id: str
    title: str
    action: Literal["edited", "restored", "moved", "deleted"]
    changes: dict[str, tuple[Any, Any]]


class Adapted(Answered):
    """A field that does not get its former value in a revert."""

    task_id: str
    field: str
    detail: str


class ListRevert(Answered):
    """The result of a revert of a list. Reverting to `undo_as_of` undoes it."""

    as_of: datetime | None = None
    as_recorded_at: datetime | None = None
    dry_run: bool
    changes: tuple[RevertedTask, ...] = ()
    adapted: tuple[Adapted, ...] = ()
    conflicts: tuple[Refused, ...] = ()
    undo_as_of: datetime | None = None


class Difference(Answered):
    """A task that differs between two times, and its fields' values at both.

    It is as at the later time, or as at the earlier one if it is removed.
    """

    task: Task
    changes: dict[str, tuple[Any, Any]] = Field(default_factory=dict)


class ListDiff(Answered):
    """The tasks that differ in a list between two times."""

    from_: datetime = Field(alias="from")
    to: datetime
    added: tuple[Difference, ...] = ()
    removed: tuple[Difference, ...] = ()
    moved: tuple[Difference, ...] = ()
    changed: tuple[Difference, ...] = ()
    next_cursor: str | None = None


class TaskList(Answered):
    """A list after `version` events. `members` maps users to roles. `stages` are in order.

    Days of its statistics are those of `time_zone`, or of UTC.
    """

    id: str
    name: str
    inbox: bool
    members: dict[str, Role]
    stages: tuple[Stage, ...] = ()
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    deleted_at: datetime | None = None
    time_zone: str | None = None


class CopiedList(TaskList):
    """A new list that is a copy of another, and the tasks that could not be copied."""

    tasks: int
    conflicts: tuple[Refused, ...] = ()
