"""Lists: events, state and fold, commands. What these decide is in `list_decisions.py`.

A list is one stream, `list:{id}`, and the unit of sharing: its members see its tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.lists.events import Stage
from app.text.names import normal_user
from app.values import (
    Category,
    Role,
)

# --- fold ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskList:
    """A list's state after `version` events; `members` maps user to role, `stages` are in their order."""

    id: str
    name: str
    inbox: bool
    members: dict[str, Role]
    stages: tuple[Stage, ...]
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    deleted_at: datetime | None = None


def member_called(task_list: TaskList, name: str) -> str:
    """Return the member of a name: as it is written, as events may have it, or as it is spelled normally."""
    return name if name in task_list.members else normal_user(name)


LIST_FIELDS = ("name", "inbox", "members", "stages", "deleted_at")
"""The fields whose changes an audit shows."""


def category_of(task_list: TaskList | None, stage: str | None) -> Category | None:
    """The category of a stage; None if the list has no such stage."""
    stages = () if task_list is None else task_list.stages
    return next((each["category"] for each in stages if each["name"] == stage), None)


def first_stage(task_list: TaskList | None, *categories: Category) -> str | None:
    """The first stage of the first of these categories that the list has a stage of."""
    stages = () if task_list is None else task_list.stages
    for category in categories:
        found = next((each["name"] for each in stages if each["category"] == category), None)
        if found is not None:
            return found
    return None
