"""Reminders: the instants at which a task's reminders are due, and those that are still to fire.

Reminders fire only in the future. A reminder does not fire if its instant had passed before it was set, for
example as a date was set, a task was reopened or the next occurrence began.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.dates import due_from, duration, format_time

if TYPE_CHECKING:  # The fold of tasks calls this module.
    from app.tasks.fields import Reminder
    from app.tasks.state import Task

GRACE = timedelta(minutes=1)
"""A reminder that had passed by less than this when it was set still fires."""
SETTLED_KEPT = 50
"""The number of settled instants that a task keeps besides those of its present reminders."""


def pending(task: Task) -> list[str]:
    """Return the instants of the reminders still to fire, in order; a completed task has none.

    Meaningless reminders, which only foreign records can contain, have no instant.
    """
    if task.status == "done" or task.deleted_at is not None or not task.reminders:
        return []
    return sorted(_instants(task).keys() - set(task.reminded))


def settled(before: Task | None, after: Task, time: datetime) -> tuple[str, ...]:
    """Return `reminded` after an event at `time`: add the instants that had passed before they were set."""
    instants = _instants(after)
    waiting = () if before is None else pending(before)
    passed = {text for text, instant in instants.items() if time - instant >= GRACE}
    known = (*after.reminded, *sorted(passed.difference(waiting, after.reminded)))
    return known if len(known) <= SETTLED_KEPT else _bounded(known, instants)


def _bounded(known: tuple[str, ...], instants: Collection[str]) -> tuple[str, ...]:
    """Keep the newest instants, and those of present reminders, which must not fire again."""
    others = [instant for instant in known if instant not in instants]
    forgotten = set(others[: max(0, len(others) - SETTLED_KEPT)])
    return tuple(instant for instant in known if instant not in forgotten)


def _instants(task: Task) -> dict[str, datetime]:
    """Return the instants of a task's reminders, by their form in events."""
    found = (_instant(reminder, task) for reminder in task.reminders)
    return {format_time(instant): instant for instant in found if instant is not None}


def _instant(reminder: Reminder, task: Task) -> datetime | None:
    try:
        if "at" in reminder:
            at = datetime.fromisoformat(reminder["at"])
            return at.astimezone(UTC) if at.tzinfo is not None else None
        due = None if task.due is None else due_from(task.due, task.time_zone)
        return None if due is None else due - duration(reminder["before"])
    except (ValueError, OverflowError, KeyError):
        return None
