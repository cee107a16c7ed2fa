"""The state of a list.

A list is one stream, `list:{id}`, and the unit of sharing: its members see its tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.lists.events import Stage
from app.values import (
    Category,
    Role,
)

# --- fold ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskList:
    """The state of a list after `version` events; `members` maps users to roles, `stages` are in order.

    Days of the list's statistics are those of `time_zone`, or of UTC.
    """

    # Only app.lists.members reads and changes `members`.

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
    time_zone: str | None = None


LIST_FIELDS = ("name", "inbox", "members", "stages", "deleted_at", "time_zone")
"""The fields whose changes the audit shows."""


def category_of(task_list: TaskList | None, stage: str | None) -> Category | None:
    """Return the category of a stage, or None if the list has no such stage."""
    stages = () if task_list is None else task_list.stages
    return next((each["category"] for each in stages if each["name"] == stage), None)


def first_stage(task_list: TaskList | None, *categories: Category) -> str | None:
    """Return the first stage of the first of these categories that has one in the list."""
    stages = () if task_list is None else task_list.stages
    for category in categories:
        found = next((each["name"] for each in stages if each["category"] == category), None)
        if found is not None:
            return found
    return None
