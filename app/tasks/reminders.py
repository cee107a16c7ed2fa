"""Reminders: the instants at which those of a task are due, and which of them are still to fire.

A reminder is for the future: what had passed before it came to be, as a date was set, a task opened again or
the next occurrence began, does not fire.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.dates import due_from, duration, format_time

if TYPE_CHECKING:  # The fold of tasks asks here what has passed.
    from app.tasks.events import Reminder
    from app.tasks.state import Task

GRACE = timedelta(minutes=1)
"""A reminder that lies in the past by less, when it is set, is one for now."""
SETTLED_KEPT = 50
"""How many instants a task remembers that none of its present reminders stands for."""


def pending(task: Task) -> list[str]:
    """The instants of the reminders that are still to fire, in order; a task that is done has none.

    Reminders that make no sense, which only foreign records can hold, have no instant.
    """
    if task.status == "done" or task.deleted_at is not None or not task.reminders:
        return []
    return sorted(_instants(task).keys() - set(task.reminded))


def settled(before: Task | None, after: Task, time: datetime) -> tuple[str, ...]:
    """What `reminded` is after an event of the time `time`: what had passed before it came to be is added."""
    instants = _instants(after)
    waiting = () if before is None else pending(before)
    passed = {text for text, instant in instants.items() if time - instant >= GRACE}
    known = (*after.reminded, *sorted(passed.difference(waiting, after.reminded)))
    return known if len(known) <= SETTLED_KEPT else _bounded(known, instants)


def _bounded(known: tuple[str, ...], instants: Collection[str]) -> tuple[str, ...]:
    """The newest ones, and whatever a present reminder stands for: that must not fire again."""
    others = [instant for instant in known if instant not in instants]
    forgotten = set(others[: max(0, len(others) - SETTLED_KEPT)])
    return tuple(instant for instant in known if instant not in forgotten)


def _instants(task: Task) -> dict[str, datetime]:
    """The instants of a task's reminders, by how events write them."""
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
