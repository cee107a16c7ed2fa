"""Expected results of searches, from states alone, in plain Python."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from app.tasks.state import Task

PRIORITIES = ("none", "low", "medium", "high", "urgent")


def words(text: str) -> list[str]:
    """Return the words of an ASCII text."""
    return re.findall("[a-z0-9]+", text.lower())


def says(text: str, wanted: str) -> bool:
    """Return whether a text has a word, the beginning of one (`mil*`), or words in a row."""
    has, looked_for = words(text), words(wanted)
    size = len(looked_for)
    rows = [has[at : at + size] for at in range(len(has) - size + 1)]
    if wanted.endswith("*"):
        return any(row[:-1] == looked_for[:-1] and row[-1].startswith(looked_for[-1]) for row in rows)
    return looked_for in rows


def due_instant(task: Task) -> datetime | None:
    """Return when a task is due: a date at the last microsecond of its day."""
    if task.due is None:
        return None
    if len(task.due) > 10:
        return datetime.fromisoformat(task.due).astimezone(UTC)
    zone = ZoneInfo(task.time_zone or "UTC")
    return datetime.combine(date.fromisoformat(task.due), time.max, zone).astimezone(UTC)


def due_day(task: Task, zone: ZoneInfo) -> date | None:
    """Return the day on which a task is due in a time zone."""
    if task.due is None:
        return None
    if len(task.due) == 10:
        return date.fromisoformat(task.due)
    return datetime.fromisoformat(task.due).astimezone(zone).date()


def in_order(tasks: Iterable[Task], sort: str) -> list[str]:
    """Return the ids of tasks in an order such as `-due`: no value last, equal ones by id in the same
    direction."""
    key, descending = sort.removeprefix("-"), sort.startswith("-")

    def value(task: Task) -> Any:
        match key:
            case "due":
                return due_instant(task)
            case "priority":
                return PRIORITIES.index(task.priority)
            case "title":
                return task.title.lower(), task.title.swapcase()  # of equal letters small ones come first
            case _:
                return getattr(task, key)

    keyed = [(value(task), task.id) for task in tasks]
    with_value = sorted((each for each in keyed if each[0] is not None), reverse=descending)
    without = sorted(
        (each for each in keyed if each[0] is None), reverse=descending, key=lambda each: each[1]
    )
    return [task_id for _, task_id in [*with_value, *without]]
