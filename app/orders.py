"""The orders that tasks can be listed in, and by which value of a task each goes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from app.due import due_at
from app.tasks import Task
from app.values import Priority
from app.words import folded

SortKey = Literal["rank", "created_at", "updated_at", "due", "priority", "title"]
SortValue = str | int | datetime | None
"""None sorts last in either direction; texts compare by their characters' numbers."""

PRIORITY_ORDER: dict[Priority, int] = {"none": 0, "low": 1, "medium": 2, "high": 3, "urgent": 4}

COMPARED_TITLE = 200
"""Titles that are alike for so many characters are in the order of their ids."""


def title_order(title: str) -> str:
    """What titles are compared by: without case and accents."""
    return folded(title)[:COMPARED_TITLE]


def sort_value(task: Task, key: SortKey) -> SortValue:
    """The value by which a task has its place."""
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
