"""Reminders: the instants at which those of a task are due."""

from __future__ import annotations

from datetime import UTC, datetime

from app.due import due_from
from app.durations import duration
from app.tasks import Reminder, Task
from app.times import format_time


def pending(task: Task) -> list[str]:
    """The instants of the reminders that have not fired, in order; a task that is done has none.

    Reminders that make no sense, which only foreign records can hold, have no instant.
    """
    if task.status == "done" or task.deleted_at is not None or not task.reminders:
        return []
    found = (_instant(reminder, task) for reminder in task.reminders)
    instants = {format_time(instant) for instant in found if instant is not None}
    return sorted(instants.difference(task.reminded))


def _instant(reminder: Reminder, task: Task) -> datetime | None:
    try:
        if "at" in reminder:
            return datetime.fromisoformat(reminder["at"]).astimezone(UTC)
        due = None if task.due is None else due_from(task.due, task.time_zone)
        return None if due is None else due - duration(reminder["before"])
    except (ValueError, OverflowError, KeyError):
        return None
