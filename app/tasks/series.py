"""Series of recurring tasks: the occurrence after each one. `app.recurrence` computes the dates.

An unreadable rule, which only foreign records can contain, has no dates: its series ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, time, tzinfo
from typing import Any

from app.dates import due_from, zone_of
from app.errors import Conflict
from app.ids import derived_id
from app.recurrence.next_date import DATE_LENGTH, Occurrence, following, following_completion
from app.tasks.events import Series, TaskCreated, TaskSkipped
from app.tasks.fields import SERIES_FIELDS, Reminder
from app.tasks.ranks import rank_between
from app.tasks.state import Task, series_values

MAX_SKIPPED = 10
"""The number of earlier occurrences that are searched for tasks that have skipped to this one."""


def next_date(task: Task, completed_at: datetime) -> Occurrence | None:
    """Return the date after a task's occurrence that is completed at `completed_at`; None if the series ends.

    It follows from the date that the series gave to this occurrence, even if that was moved.
    """
    if task.recurrence is None or task.series is None:
        return None
    scheduled = task.series.scheduled or task.due
    time_zone = _of_series(task)["time_zone"]
    with suppress(ValueError, OverflowError):
        if task.recurrence_from == "completion":
            return following_completion(task.recurrence, completed_at, scheduled, time_zone)
        return following(task.recurrence, scheduled, time_zone) if scheduled else None
    return None


def next_id(series: Series) -> str:
    """Return the id of the task after an occurrence; it is the same for each attempt to create it."""
    return derived_id("occurrence", series.id, str(series.occurrence + 1))


def occurrence_ids(series: Series) -> list[str]:
    """Return the ids that tasks of this and of the previous occurrences of a series may have.

    A task that skips keeps its id, so it has the id of an earlier occurrence, or of the series.
    """
    first = max(1, series.occurrence - MAX_SKIPPED)
    numbers = range(first, series.occurrence + 1)
    return [series.id, *(derived_id("occurrence", series.id, str(number)) for number in numbers)]


def next_occurrence(task: Task, stage: str | None) -> TaskCreated | None:
    """Return the creation of the task after a completed one, in `stage`; None if the series ends.

    Nobody is notified, because the assignees stay the same. It follows the completed task directly in the
    manual order.
    """
    date = next_date(task, task.completed_at or task.updated_at)
    if date is None or task.series is None:
        return None
    values = _of_series(task)
    values["reminders"] = shifted(values["reminders"], _dates(task), date.due, values["time_zone"])
    return TaskCreated(
        list_id=task.list_id,
        due=date.due,
        stage=stage,
        rank=rank_between(task.rank, None, next_id(task.series)),
        recurrence=date.recurrence,
        recurrence_from=task.recurrence_from,
        series=Series(task.series.id, task.series.occurrence + 1, date.due),
        created_by=task.created_by,
        **values,
    )


def skipped(task: Task, now: datetime) -> TaskSkipped:
    """Return the event that skips an occurrence. Raise `Conflict` if no occurrence follows.

    If the next date is counted from the completion, it is counted from `now`, or from the task's due date if
    that is later.
    """
    if task.recurrence is None:
        raise Conflict("the task does not recur")
    if task.status == "done":
        raise Conflict("the task is done already")
    due = due_from(task.due, task.time_zone) if task.due else None
    date = next_date(task, max(now, due or now))
    if date is None:
        raise Conflict("this is the last one of its series: complete it, or delete it")
    values = _of_series(task)
    reminders = shifted(values["reminders"], _dates(task), date.due, values["time_zone"])
    return TaskSkipped(
        date.due, date.recurrence, reminders=reminders if reminders != values["reminders"] else None
    )


def _of_series(task: Task) -> dict[str, Any]:
    """Return the fields that each occurrence inherits from the previous one, with the series' values."""
    values = {name: getattr(task, name) for name in SERIES_FIELDS}
    return values if task.series is None else values | series_values(task.series)


def _dates(task: Task) -> list[str]:
    """Return the dates that reminders may have been set for: the series' date, and the due date."""
    scheduled = None if task.series is None else task.series.scheduled
    return [each for each in (scheduled, task.due) if each]


def shifted(
    reminders: Iterable[Reminder], dates: list[str], due: str, time_zone: str | None
) -> tuple[Reminder, ...]:
    """Shift reminders to another due date. Those at a time keep their distance from the nearest of `dates`.

    The distance is counted in days and hours on the clock: nine o'clock stays nine o'clock when summer time
    begins. Without dates such reminders are removed.
    """
    kept: list[Reminder] = []
    for reminder in reminders:
        if "at" not in reminder:
            kept.append(reminder)
            continue
        with suppress(ValueError, OverflowError):
            kept += [{"at": _moved(reminder["at"], dates, due, time_zone)}] if dates else []
    return tuple(kept)


def _moved(at: str, dates: list[str], due: str, time_zone: str | None) -> str:
    zone = _zone(due, time_zone)
    wall = _wall(at, zone)
    old = min((_wall(each, zone) for each in dates), key=lambda base: abs((wall.date() - base.date()).days))
    return (wall + (_wall(due, zone) - old)).replace(tzinfo=zone).isoformat()


def _zone(due: str, time_zone: str | None) -> tzinfo:
    own = datetime.fromisoformat(due).tzinfo if len(due) > DATE_LENGTH else None
    return zone_of(time_zone) if time_zone else own or UTC


def _wall(moment: str, zone: tzinfo) -> datetime:
    """Return the local time of a date-time, or midnight of a date. Raise `ValueError`."""
    found = datetime.fromisoformat(moment)
    if len(moment) <= DATE_LENGTH:
        return datetime.combine(found, time.min)
    if found.tzinfo is None:
        raise ValueError("must have an offset, such as +01:00")
    return found.astimezone(zone).replace(tzinfo=None)
