"""The sort orders of tasks, and the value of a task that each sorts by."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from app.dates import due_at
from app.tasks.state import Task
from app.text.collation import collation_key
from app.values import Priority

SortKey = Literal["rank", "created_at", "updated_at", "due", "priority", "title"]
SortValue = str | int | datetime | None
"""None sorts last in either direction; texts compare by code points."""

PRIORITY_ORDER: dict[Priority, int] = {"none": 0, "low": 1, "medium": 2, "high": 3, "urgent": 4}

COMPARED_TITLE = 200
"""Code points: titles with the same prefix of this length are ordered by their ids."""
LONGEST_ORDER = 600
"""Code points of a sort key, whose UTF-8 must fit an index."""


def title_order(title: str) -> str:
    """Return the sort key of a title: by letters first, then accents, then case."""
    return collation_key(title[:COMPARED_TITLE])[:LONGEST_ORDER]


def sort_value(task: Task, key: SortKey) -> SortValue:
    """Return the value that a task is sorted by."""
    match key:
        case "rank":
            return task.rank
        case "created_at":
            return task.created_at
        case "updated_at":
            return task.updated_at
        case "due":
            return None if task.due is None else due_at(task.due, task.time_zone)
        case "priority":
            return PRIORITY_ORDER[task.priority]
        case "title":
            return title_order(task.title)
