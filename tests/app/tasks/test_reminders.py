"""Reminders: due times, those still to fire, and recipients."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.dates import format_time
from app.tasks.events import (
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskReminded,
    TaskReopened,
    TaskRestored,
    TaskSkipped,
)
from app.tasks.evolve import evolve
from app.tasks.reminders import GRACE, SETTLED_KEPT, pending
from app.tasks.state import Task
from tests.spec import LIST_ID, START, task_after

HOUR = timedelta(hours=1)


def at(moment: datetime) -> dict[str, str]:
    """Return a reminder at a time."""
    return {"at": moment.isoformat()}


def before(length: str) -> dict[str, str]:
    """Return a reminder before the due date."""
    return {"before": length}


def created(*reminders: dict[str, str], **fields: Any) -> TaskCreated:
    """Return the creation of a task with reminders."""
    return TaskCreated(LIST_ID, "T", reminders=reminders, **fields)  # type: ignore[arg-type]


def reminding(*some: dict[str, str]) -> TaskEdited:
    """Return an edit that sets the reminders."""
    return TaskEdited({"reminders": some})


def lived(*events: tuple[datetime, TaskEvent]) -> Task:
    """Return the task after these events at these times."""
    task: Task | None = None
    for time, event in events:
        task = evolve(task, event, stream_key="t", time=time, actor="alice")
    assert task is not None
    return task


@pytest.mark.parametrize(
    ("reminder", "fields", "instant"),
    [
        ({"at": "2026-12-01T09:00:00+01:00"}, {}, "2026-12-01T08:00:00.000000Z"),
        (before("PT30M"), {"due": "2026-12-01T09:00:00+01:00"}, "2026-12-01T07:30:00.000000Z"),
        # A date begins when its day does, in the task's own time zone.
        (before("PT0S"), {"due": "2026-12-01", "time_zone": "Europe/Madrid"}, "2026-11-30T23:00:00.000000Z"),
        (before("P1D"), {"due": "2026-12-01"}, "2026-11-30T00:00:00.000000Z"),
        # A day before, through the change to winter time, is 24 hours before.
        (
            before("P1D"),
            {"due": "2026-10-26", "time_zone": "Europe/Madrid"},
            "2026-10-24T23:00:00.000000Z",
        ),
    ],
)
def test_reminder_has_an_instant(reminder: dict[str, str], fields: dict[str, Any], instant: str) -> None:
    """A time, or an offset before the due date."""
    assert pending(task_after(created(reminder, **fields))) == [instant]


@pytest.mark.parametrize(
    "reminder",
    [
        before("PT30M"),  # without a due date
        {"at": "soon"},
        {"at": "2026-12-01T09:00:00"},  # when that is depends on where one is
        {"at": "0001-01-01T00:00:00+14:00"},
        before("soon"),
        {},
    ],
)
def test_invalid_reminder_is_never_due(reminder: dict[str, str]) -> None:
    """Foreign records may have some."""
    assert pending(task_after(created(reminder))) == []


def test_reminders_follow_the_due_date() -> None:
    """Postponing a task reminds again."""
    nine, ten = START + 5 * HOUR, START + 30 * HOUR
    task = lived(
        (START, created(before("PT1H"), due=(nine + HOUR).isoformat())),
        (nine, TaskReminded(format_time(nine))),
        (nine, TaskEdited({"due": (ten + HOUR).isoformat()})),
    )
    assert pending(task) == [format_time(ten)]


def test_two_reminders_of_one_instant_fire_once() -> None:
    due = START + 5 * HOUR
    task = task_after(created(at(due - HOUR), before("PT1H"), before("PT60M"), due=due.isoformat()))
    assert pending(task) == [format_time(due - HOUR)]


def test_closed_task_does_not_remind() -> None:
    """Done or deleted, until it is open again."""
    reminder = created(at(START + HOUR))
    assert pending(task_after(reminder, TaskCompleted())) == []
    assert pending(task_after(reminder, TaskDeleted())) == []
    assert pending(task_after(reminder, TaskCompleted(), TaskReopened())) != []
    assert pending(task_after(reminder, TaskDeleted(), TaskRestored())) != []


# --- what had passed before it came to be -----------------------------------------------------------------


def test_past_reminder_does_not_fire() -> None:
    """Neither when it is set, nor by a due date that is too near for it."""
    assert pending(lived((START, created(at(START - HOUR))))) == []
    soon = created(before("P1D"), before("PT10M"), due=(START + HOUR).isoformat())
    assert pending(lived((START, soon))) == [format_time(START + timedelta(minutes=50))]
    task = lived((START, created()), (START + HOUR, reminding(at(START), at(START + 3 * HOUR))))
    assert pending(task) == [format_time(START + 3 * HOUR)]


@pytest.mark.parametrize(
    ("closing", "opening"), [(TaskCompleted(), TaskReopened()), (TaskDeleted(), TaskRestored())]
)
def test_reopened_task_does_not_catch_up(closing: TaskEvent, opening: TaskEvent) -> None:
    """Past reminders are not sent."""
    task = lived((START, created(at(START + HOUR))), (START, closing), (START + 5 * HOUR, opening))
    assert pending(task) == []
    assert task.reminded == (format_time(START + HOUR),)


def test_next_occurrence_does_not_catch_up() -> None:
    """A late series does not remind of each skipped date."""
    daily = created(before("PT1H"), due="2026-03-01T12:00:00+00:00", recurrence="FREQ=DAILY")
    late = START + timedelta(days=3)
    task = lived((START, daily), (late, TaskSkipped("2026-03-02T12:00:00+00:00", "FREQ=DAILY")))
    assert pending(task) == []
    task = lived((START, daily), (late, TaskSkipped("2026-03-05T12:00:00+00:00", "FREQ=DAILY")))
    assert pending(task) == ["2026-03-05T11:00:00.000000Z"]


def test_due_reminder_stays_due_through_later_events() -> None:
    """Until it was fired."""
    due, late = START + HOUR, START + 9 * HOUR
    task = lived(
        (START, created(at(due))),
        (late, reminding(at(due), at(late + HOUR))),
        (late, TaskEdited({"title": "U"})),
        (late, TaskMoved("another")),
    )
    assert pending(task) == [format_time(due), format_time(late + HOUR)]


def test_reminder_for_now_fires() -> None:
    """Whatever the latency of the command."""
    assert pending(lived((START, created(at(START - GRACE / 2))))) != []
    assert pending(lived((START, created(at(START - GRACE))))) == []


# --- once, for ever --------------------------------------------------------------------------------------

moments = st.integers(0, 40).map(lambda hours: START + hours * HOUR)
reminders = st.one_of(moments.map(at), st.sampled_from([before("PT1H"), before("PT2H"), before("P1D")]))


changes = st.one_of(
    st.lists(reminders, max_size=4).map(lambda some: reminding(*some)),
    moments.map(lambda due: TaskEdited({"due": due.isoformat()})),
    moments.map(lambda due: TaskSkipped(due.isoformat(), "FREQ=DAILY")),
    st.sampled_from(
        [TaskCompleted(), TaskReopened(), TaskDeleted(), TaskRestored(), TaskEdited({"due": None})]
    ),
)
lives = st.lists(st.tuples(st.integers(0, 5), st.none() | changes), min_size=1, max_size=80)
"""Actions of users after a number of hours; None is a run of the scheduler."""


@given(lives)
@example([(0, reminding(at(START + n * HOUR), at(START))) for n in range(60)])
def test_instant_fires_once_and_due_ones_are_kept(
    life: list[tuple[int, TaskEvent | None]],
) -> None:
    """For any edits, completions and reopenings. So an event id of task and instant is used once."""
    now = START
    task = lived((now, created(at(START + HOUR), before("PT1H"), due=(START + 4 * HOUR).isoformat())))
    fired: list[str] = []
    for hours, change in life:
        now += hours * HOUR
        if change is not None:
            waiting, task = pending(task), evolve(task, change, stream_key="t", time=now, actor="alice")
            meant = pending(replace(task, reminded=()))
            assert set(waiting).intersection(meant) <= set(pending(task))
            assert {instant for instant in meant if instant > format_time(now)} - set(fired) <= set(
                pending(task)
            )
            continue
        while (instants := pending(task)) and instants[0] <= format_time(now):
            fired.append(instants[0])
            task = evolve(task, TaskReminded(instants[0]), stream_key="t", time=now, actor="tasktape")
    assert len(set(fired)) == len(fired)
    assert len(task.reminded) <= SETTLED_KEPT + len(task.reminders)


def test_fired_reminders_are_remembered_while_they_are_set() -> None:
    """A reminder does not fire again, however many others come and go."""
    first = at(START + HOUR)
    task = lived((START, created(first)), (START + HOUR, TaskReminded(format_time(START + HOUR))))
    for n in range(2, 3 * SETTLED_KEPT):
        now = START + n * HOUR
        task = evolve(task, reminding(first, at(now)), stream_key="t", time=now - HOUR, actor="alice")
        assert pending(task) == [format_time(now)]
        task = evolve(task, TaskReminded(format_time(now)), stream_key="t", time=now, actor="tasktape")
    assert pending(task) == []
    assert len(task.reminded) <= SETTLED_KEPT + 2


def test_foreign_records_do_not_grow_a_task() -> None:
    """Whatever they claim to have fired."""
    task = lived((START, created()))
    for n in range(3 * SETTLED_KEPT):
        task = evolve(task, TaskReminded(f"{n}"), stream_key="t", time=START, actor="eve")
    assert len(task.reminded) == SETTLED_KEPT


def test_earliest_time_is_folded() -> None:
    """An event of the year 1 is folded like any other."""
    task = lived((datetime.min.replace(tzinfo=UTC), created(at(START))))
    assert pending(task) == [format_time(START)]
