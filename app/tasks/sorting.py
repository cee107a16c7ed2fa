"""The sort orders of tasks, and the value of a task that each sorts by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

from app.dates import due_at
from app.text.collation import collation_key
from app.values import Priority

SortValue = str | int | datetime | None
"""None sorts last in either direction; texts compare by code points."""

PRIORITY_ORDER: dict[Priority, int] = {"none": 0, "low": 1, "medium": 2, "high": 3, "urgent": 4}

COMPARED_TITLE = 200
"""Code points: titles with the same prefix of this length are ordered by their ids."""
LONGEST_ORDER = 600
"""Code points of a sort key, whose UTF-8 must fit an index."""


@dataclass(frozen=True, slots=True)
class SortOrder:
    """An order of tasks: the value of a task, and the column and the SQL type that hold it.

    A value is None only in a `nullable` order. Numbers are between 0 and `largest`.
    """

    column: str
    kind: Literal["text", "timestamptz", "smallint", "integer"]
    value: Callable[[Any], SortValue]
    nullable: bool = False
    largest: int = 0


def attribute_order(
    name: str, kind: Literal["text", "timestamptz", "integer"], *, nullable: bool = False, largest: int = 0
) -> SortOrder:
    """Return the order by an attribute of the task, which is a column as it is."""
    return SortOrder(name, kind, attrgetter(name), nullable, largest)


@lru_cache(maxsize=8_192)
def title_order(title: str) -> str:
    """Return the sort key of a title: by letters first, then accents, then case."""
    return collation_key(title[:COMPARED_TITLE])[:LONGEST_ORDER]


BY_TITLE = SortOrder("title_order", "text", lambda task: title_order(task.title))
BY_PRIORITY = SortOrder(
    "priority_order",
    "smallint",
    lambda task: PRIORITY_ORDER[task.priority],
    largest=max(PRIORITY_ORDER.values()),
)
BY_DUE_DATE = SortOrder(
    "due_at",
    "timestamptz",
    lambda task: None if task.due is None else due_at(task.due, task.time_zone),
    nullable=True,
)
