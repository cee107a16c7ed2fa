"""Series of recurring tasks: what comes after an occurrence. The dates come from `recurrence.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.due import due_from
from app.errors import Conflict
from app.ids import derived_id
from app.recurrence import Occurrence, following, following_completion
from app.tasks import Reminder, Series, Task, TaskCreated, TaskSkipped, series_values


def next_date(task: Task) -> Occurrence | None:
    """The date after a task's occurrence, once it is done; None if the series ends with it."""
    if task.recurrence is None or task.series is None:
        return None
    if task.recurrence_from == "due":
        scheduled = task.series.scheduled or task.due
        return following(task.recurrence, scheduled, task.time_zone) if scheduled else None
    completed_at = task.completed_at or task.updated_at
    return following_completion(task.recurrence, completed_at, task.due, task.time_zone)


def next_id(series: Series) -> str:
    """The id of the task after an occurrence: the same for whoever makes it, however often."""
    return derived_id("occurrence", series.id, str(series.occurrence + 1))


def next_occurrence(task: Task, stage: str | None) -> tuple[str, TaskCreated] | None:
    """The id and the beginning of the task after a completed one, in `stage`; None if the series ends."""
    date = next_date(task)
    if date is None or task.series is None:
        return None
    series = task.series
    values: dict[str, Any] = {
        "title": task.title,
        "notes": task.notes,
        "priority": task.priority,
        "time_zone": task.time_zone,
        "tags": task.tags,
        "assignees": task.assignees,
        "parent_id": task.parent_id,
        "reminders": task.reminders,
        **series_values(series),
    }
    values["reminders"] = shifted(values["reminders"], task, date.due)
    created = TaskCreated(
        list_id=task.list_id,
        due=date.due,
        stage=stage,
        rank=task.rank,
        recurrence=date.recurrence,
        recurrence_from=task.recurrence_from,
        series=Series(series.id, series.occurrence + 1, date.due),
        **values,
    )
    return next_id(series), created


def skipped(task: Task) -> TaskSkipped:
    """What passing over an occurrence makes of the task. Raises `Conflict` if nothing comes after it."""
    if task.recurrence is None:
        raise Conflict("the task does not recur")
    if task.status == "done":
        raise Conflict("the task is done already")
    date = next_date(task)
    if date is None:
        raise Conflict("this is the last one of its series: complete it, or delete it")
    return TaskSkipped(date.due, date.recurrence)


def shifted(reminders: tuple[Reminder, ...], task: Task, due: str) -> tuple[Reminder, ...]:
    """Reminders for another due date: those at a time keep their distance from it, or go if there is none."""
    kept: list[Reminder] = []
    old = None if task.due is None else due_from(task.due, task.time_zone)
    new = due_from(due, task.time_zone)
    for reminder in reminders:
        if "at" not in reminder:
            kept.append(reminder)
        elif old is not None and new is not None:
            at = datetime.fromisoformat(reminder["at"])
            kept.append({"at": (at + (new - old)).isoformat()})
    return tuple(kept)
