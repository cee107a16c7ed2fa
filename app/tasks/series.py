"""Series of recurring tasks: what comes after an occurrence. The dates come from `recurrence.py`.

A rule that can't be read, which only foreign records can hold, has no dates: its series ends.
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
from app.tasks.events import Reminder, Series, TaskCreated, TaskSkipped
from app.tasks.ranks import rank_between
from app.tasks.state import SERIES_FIELDS, Task, series_values

MAX_SKIPPED = 10
"""So many occurrences before one are looked at for tasks that have skipped to it."""


def next_date(task: Task, completed_at: datetime) -> Occurrence | None:
    """The date after a task's occurrence, if it is done at `completed_at`; None if the series ends with it.

    It follows from what the series gave to this occurrence, wherever that was moved to.
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
    """The id of the task after an occurrence: the same for whoever makes it, however often."""
    return derived_id("occurrence", series.id, str(series.occurrence + 1))


def occurrence_ids(series: Series) -> list[str]:
    """Return the ids under which tasks of this and of the last occurrences of a series may be.

    A task that skips stays the same: so it has an id of an occurrence before, or of the series.
    """
    first = max(1, series.occurrence - MAX_SKIPPED)
    numbers = range(first, series.occurrence + 1)
    return [series.id, *(derived_id("occurrence", series.id, str(number)) for number in numbers)]


def next_occurrence(task: Task, stage: str | None) -> TaskCreated | None:
    """The beginning of the task after a completed one, in `stage`; None if the series ends.

    Nobody is notified: it is theirs as the one before was. It comes right after that one in the manual order.
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
    """What passing over an occurrence makes of the task. Raises `Conflict` if nothing comes after it.

    Where the next date is counted from the completion, it is counted from `now`, or from when the task is due
    if that is later.
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
    """The fields that each occurrence has from the one before, with their values in the series."""
    values = {name: getattr(task, name) for name in SERIES_FIELDS}
    return values if task.series is None else values | series_values(task.series)


def _dates(task: Task) -> list[str]:
    """The dates that a task's reminders may have been set for: what the series gave, and when it is due."""
    scheduled = None if task.series is None else task.series.scheduled
    return [each for each in (scheduled, task.due) if each]


def shifted(
    reminders: Iterable[Reminder], dates: list[str], due: str, time_zone: str | None
) -> tuple[Reminder, ...]:
    """Reminders for another due date. Those at a time keep their distance from the nearest of `dates`.

    The distance is one of days and hours on the clock: nine o'clock stays nine o'clock when summer comes.
    Without dates such reminders go.
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
    """The local time of a date-time, or midnight of a date. Raises `ValueError`."""
    found = datetime.fromisoformat(moment)
    if len(moment) <= DATE_LENGTH:
        return datetime.combine(found, time.min)
    if found.tzinfo is None:
        raise ValueError("must have an offset, such as +01:00")
    return found.astimezone(zone).replace(tzinfo=None)
