"""The sort orders of tasks, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from app.tasks.fields import FIELDS
from app.tasks.sorting import SortOrder, SortValue, attribute_order
from app.tasks.state import Task

SortKey: TypeAlias = str
"""A name in `SORT_ORDERS`."""

SORT_ORDERS: Mapping[SortKey, SortOrder] = {
    "rank": attribute_order("rank", "text"),
    "created_at": attribute_order("created_at", "timestamptz"),
    "updated_at": attribute_order("updated_at", "timestamptz"),
    **{name: field.rules.sort for name, field in FIELDS.items() if field.rules.sort is not None},
}


def sort_value(task: Task, key: SortKey) -> SortValue:
    """Return the value that a task is sorted by."""
    return SORT_ORDERS[key].value(task)
