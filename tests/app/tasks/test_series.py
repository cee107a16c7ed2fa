"""Series: fields that the next occurrence inherits, and fields of one occurrence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from app.errors import Conflict
from app.ids import derived_id
from app.log import fold
from app.tasks import decide as task_decisions
from app.tasks.commands import EditTask, SkipOccurrence, TaskCommand
from app.tasks.events import (
    Series,
    TaskCommented,
    TaskCompleted,
    TaskCreated,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskReminded,
    TaskReopened,
    TaskSkipped,
)
from app.tasks.evolve import evolve
from app.tasks.fields import Reminder
from app.tasks.series import next_id, next_occurrence, shifted
from app.tasks.state import Task
from tests.spec import LIST_ID, OTHER_LIST_ID, START, TASK_ID, given, record_of, surroundings, task_after

WEEKLY = TaskCreated(LIST_ID, "Water", due="2026-03-02", recurrence="FREQ=WEEKLY")
AT_NINE = TaskCreated(
    LIST_ID, "Stand-up", due="2026-03-23T09:00:00+01:00", time_zone="Europe/Madrid", recurrence="FREQ=WEEKLY"
)


def following_task(task: Task, stage: str | None = None) -> Task:
    """Return the next occurrence in its initial state."""
    created = next_occurrence(task, stage)
    assert created is not None
    assert task.series is not None
    return begun(created, next_id(task.series))


def begun(created: TaskCreated, task_id: str) -> Task:
    state = fold.evolve(None, record_of(created, 1, stream=f"task:{task_id}"))
    assert isinstance(state, Task)
    return state


def with_event(task: Task, event: TaskEvent, **given: Any) -> Task:
    state = fold.evolve(task, record_of(event, task.version + 1, stream=f"task:{task.id}", **given))
    assert isinstance(state, Task)
    return state


def decided(task: Task, command: TaskCommand, **around: Any) -> Task:
    """Return the task after a command that has an effect."""
    event = task_decisions.decide(command, task, surroundings(**around))
    assert event is not None
    return with_event(task, event)


def done(task: Task, **given: Any) -> Task:
    return with_event(task, TaskCompleted(), **given)


def test_next_occurrence_inherits_the_series() -> None:
    """Nobody is notified; it follows directly in the list."""
    created = replace(
        WEEKLY,
        notes="All of them",
        priority="high",
        tags=("home",),
        assignees=("bob",),
        time_zone="Europe/Madrid",
        reminders=({"before": "PT1H"},),
        rank="0dVi",
        notify=("bob",),
    )
    following = next_occurrence(task_after(created, TaskCompleted(stage="Done")), "To do")
    assert following is not None
    assert following.rank is not None
    assert following.rank > "0dVi"
    assert following == replace(
        created,
        due="2026-03-09",
        stage="To do",
        rank=following.rank,
        created_by="alice",
        series=Series(TASK_ID, 2, "2026-03-09"),
        notify=(),
    )


def test_next_occurrence_is_created_by_the_creator_of_the_series() -> None:
    """Whoever completes one: notifications of reminders and comments go to the creator."""
    following = next_occurrence(done(task_after(WEEKLY), actor="bob"), None)
    assert following is not None
    assert evolve(None, following, stream_key="next", time=START, actor="bob").created_by == "alice"


def test_history_of_an_occurrence_is_not_inherited() -> None:
    """Comments, fired reminders and the stage."""
    first = task_after(
        replace(WEEKLY, reminders=({"before": "PT1H"},)),
        TaskCommented("c", "Which ones?"),
        TaskReminded("2026-03-01T23:00:00.000000Z"),
        TaskEdited({"stage": "Doing"}),
        TaskCompleted(),
    )
    following = following_task(first)
    assert (following.comment_count, following.reminded, following.stage, following.status) == (
        0,
        (),
        None,
        "open",
    )


def test_id_is_derived_from_series_and_occurrence() -> None:
    """Whoever creates it, and however often the previous one was completed."""
    first = task_after(WEEKLY, TaskCompleted())
    again = task_after(
        WEEKLY, TaskCompleted(), TaskReopened(), TaskEdited({"title": "Rain"}), TaskCompleted()
    )
    assert following_task(first).id == following_task(again).id == derived_id("occurrence", TASK_ID, "2")
    assert following_task(done(following_task(first))).id == derived_id("occurrence", TASK_ID, "3")


def test_count_counts_down_to_the_end() -> None:
    """COUNT is the number left, including this occurrence."""
    task, rules = task_after(replace(WEEKLY, recurrence="FREQ=WEEKLY;COUNT=3")), []
    while True:
        rules.append(task.recurrence)
        if next_occurrence(done(task), None) is None:
            break
        task = following_task(done(task))
    assert rules == ["FREQ=WEEKLY;COUNT=3", "FREQ=WEEKLY;COUNT=2", "FREQ=WEEKLY;COUNT=1"]


def test_until_ends_a_series() -> None:
    """Its day is the last one."""
    until = replace(WEEKLY, recurrence="FREQ=WEEKLY;UNTIL=20260309")
    second = following_task(task_after(until, TaskCompleted()))
    assert second.due == "2026-03-09"
    assert next_occurrence(done(second), None) is None


def test_task_without_a_rule_has_no_next_occurrence() -> None:
    """Also if the rule was removed."""
    assert next_occurrence(task_after(replace(WEEKLY, recurrence=None), TaskCompleted()), None) is None
    assert next_occurrence(task_after(WEEKLY, TaskEdited({"recurrence": None})), None) is None


def test_unreadable_rule_ends_the_series() -> None:
    """Foreign records may have any text; it is no error."""
    for rule, due in (("nonsense", "2026-03-02"), ("FREQ=WEEKLY", "Monday"), ("FREQ=WEEKLY", "9999-12-31")):
        assert next_occurrence(task_after(replace(WEEKLY, recurrence=rule, due=due)), None) is None


def test_next_date_counts_from_the_completion() -> None:
    """From its day, at the time of day of the series."""
    created = replace(AT_NINE, recurrence="FREQ=DAILY;INTERVAL=3", recurrence_from="completion")
    late = done(task_after(created), time=datetime(2026, 3, 27, 18, tzinfo=UTC))
    assert following_task(late).due == "2026-03-30T09:00:00+02:00"
    moved = decided(task_after(created), EditTask(due="2026-03-26T17:00:00+01:00"))
    assert following_task(done(moved, time=late.updated_at)).due == "2026-03-30T09:00:00+02:00"


# --- edits of one occurrence, and of all to come ----------------------------------------------------------


def test_due_date_of_one_occurrence_does_not_move_the_series() -> None:
    moved = decided(task_after(WEEKLY), EditTask(due="2026-03-05"))
    assert (moved.due, moved.series) == ("2026-03-05", Series(TASK_ID, 1, "2026-03-02"))
    assert following_task(done(moved)).due == "2026-03-09"


def test_due_date_of_all_occurrences_moves_the_series() -> None:
    moved = decided(task_after(WEEKLY), EditTask(due="2026-03-05", scope="following"))
    assert following_task(done(moved)).due == "2026-03-12"


def test_other_fields_apply_to_all_later_occurrences() -> None:
    """Unless the edit says otherwise."""
    edited = decided(task_after(WEEKLY), EditTask(title="Water all", assignees=("alice",)))
    following = following_task(done(edited))
    assert (following.title, following.assignees) == ("Water all", ("alice",))


def test_fields_of_one_occurrence_are_not_inherited() -> None:
    """By the next one, or the one after it."""
    wanted = EditTask(
        title="Water and feed",
        notes="Half a spoon",
        priority="urgent",
        tags=("spring",),
        assignees=("alice",),
        time_zone="Asia/Tokyo",
        reminders=({"before": "P1D"},),
        due="2026-03-03",
        scope="this",
    )
    edited = decided(task_after(WEEKLY), wanted)
    assert (edited.title, edited.tags, edited.time_zone) == ("Water and feed", ("spring",), "Asia/Tokyo")
    plain = following_task(task_after(WEEKLY, TaskCompleted()))
    second = following_task(done(edited))
    assert second == plain
    assert following_task(done(second)).title == "Water"


def test_latest_edit_of_the_series_counts() -> None:
    """Edited for one, then for all: the next one has the latter."""
    once = decided(task_after(WEEKLY), EditTask(title="Once", tags=("x",), scope="this"))
    twice = decided(once, EditTask(title="Twice", scope="this"))
    assert following_task(done(twice)).title == "Water"
    ever = decided(twice, EditTask(title="Ever"))
    assert (following_task(done(ever)).title, following_task(done(ever)).tags) == ("Ever", ())


def test_value_of_one_occurrence_can_be_applied_to_all() -> None:
    """The same value for all changes the series; without a scope it changes nothing."""
    once = decided(task_after(WEEKLY), EditTask(title="Once", due="2026-03-05", scope="this"))
    ever = decided(once, EditTask(title="Once", due="2026-03-05", scope="following"))
    assert (following_task(done(ever)).title, following_task(done(ever)).due) == ("Once", "2026-03-12")
    assert edited(once, EditTask(title="Once", due="2026-03-05")) is once
    assert edited(ever, EditTask(title="Once", due="2026-03-05", scope="following")) is ever


def test_time_zone_of_one_occurrence_does_not_move_the_series() -> None:
    """The next one is at nine in Madrid again."""
    away = decided(
        task_after(AT_NINE),
        EditTask(time_zone="America/New_York", due="2026-03-23T09:00:00-04:00", scope="this"),
    )
    following = following_task(done(away))
    assert (following.due, following.time_zone) == ("2026-03-30T09:00:00+02:00", "Europe/Madrid")


def test_time_zone_with_a_time_moves_the_series() -> None:
    """From then on it is at nine in New York."""
    moved = decided(
        task_after(AT_NINE), EditTask(time_zone="America/New_York", due="2026-03-23T09:00:00-04:00")
    )
    assert following_task(done(moved)).due == "2026-03-30T09:00:00-04:00"


def test_time_zone_alone_keeps_the_dates_of_the_series() -> None:
    """A date moved for one occurrence does not become the series' own."""
    moved = decided(task_after(WEEKLY), EditTask(due="2026-03-05"))
    assert following_task(done(decided(moved, EditTask(time_zone="Asia/Tokyo")))).due == "2026-03-09"


def test_new_rule_begins_at_the_due_date() -> None:
    """The occurrence keeps its place in the series."""
    moved = decided(task_after(WEEKLY), EditTask(due="2026-03-05"))
    other = decided(moved, EditTask(recurrence="FREQ=DAILY"))
    following = following_task(done(other))
    assert (following.due, following.series) == ("2026-03-06", Series(TASK_ID, 2, "2026-03-06"))


def test_moving_to_another_list_moves_the_series() -> None:
    assert (
        following_task(task_after(WEEKLY, TaskMoved(OTHER_LIST_ID), TaskCompleted())).list_id == OTHER_LIST_ID
    )


# --- skipping ----------------------------------------------------------------------------------------------


def test_skipping_moves_to_the_next_date() -> None:
    """The same task, with COUNT counted down."""
    counted = replace(WEEKLY, recurrence="FREQ=WEEKLY;COUNT=3")
    given(counted).when(SkipOccurrence()).then(TaskSkipped("2026-03-09", "FREQ=WEEKLY;COUNT=2"))
    task = decided(task_after(counted), SkipOccurrence())
    assert (task.id, task.due, task.series) == (TASK_ID, "2026-03-09", Series(TASK_ID, 2, "2026-03-09"))
    third = following_task(done(task))
    assert (third.id, third.due, third.recurrence) == (
        derived_id("occurrence", TASK_ID, "3"),
        "2026-03-16",
        "FREQ=WEEKLY;COUNT=1",
    )


def test_skipping_drops_values_of_one_occurrence() -> None:
    """The task becomes the next occurrence."""
    edited = decided(task_after(WEEKLY), EditTask(title="Once", due="2026-03-04", scope="this"))
    task = decided(edited, SkipOccurrence())
    assert (task.title, task.due, task.series) == ("Water", "2026-03-09", Series(TASK_ID, 2, "2026-03-09"))


@pytest.mark.parametrize(
    ("now", "due"), [(datetime(2026, 3, 1, tzinfo=UTC), "2026-03-05"), (START, "2026-03-05")]
)
def test_skipping_an_early_occurrence_counts_from_its_date(now: datetime, due: str) -> None:
    """In a series from completions."""
    created = replace(WEEKLY, recurrence="FREQ=DAILY;INTERVAL=3", recurrence_from="completion")
    given(created).when(SkipOccurrence(), now=now).then(TaskSkipped(due, "FREQ=DAILY;INTERVAL=3"))


def test_skipping_an_overdue_occurrence_counts_from_today() -> None:
    """In a series from completions."""
    created = replace(WEEKLY, recurrence="FREQ=DAILY;INTERVAL=3", recurrence_from="completion")
    now = datetime(2026, 4, 10, 12, tzinfo=UTC)
    given(created).when(SkipOccurrence(), now=now).then(TaskSkipped("2026-04-13", "FREQ=DAILY;INTERVAL=3"))


def test_last_occurrence_cannot_be_skipped() -> None:
    """Nor a done one, nor a task that does not recur."""
    last = replace(WEEKLY, recurrence="FREQ=WEEKLY;COUNT=1")
    given(last).when(SkipOccurrence()).then_refused(Conflict, "last")
    given(WEEKLY, TaskCompleted()).when(SkipOccurrence()).then_refused(Conflict, "done")
    given(replace(WEEKLY, recurrence=None)).when(SkipOccurrence()).then_refused(Conflict, "recur")


# --- reminders ---------------------------------------------------------------------------------------------


def test_reminders_at_a_time_move_along() -> None:
    """Eight o'clock stays eight o'clock across clock changes; relative ones stay."""
    reminders: tuple[Reminder, ...] = (
        {"at": "2026-03-23T08:00:00+01:00"},
        {"before": "PT10M"},
        {"at": "2026-03-20T18:00:00+01:00"},
    )
    following = following_task(task_after(replace(AT_NINE, reminders=reminders), TaskCompleted()))
    assert following.reminders == (
        {"at": "2026-03-30T08:00:00+02:00"},
        {"before": "PT10M"},
        {"at": "2026-03-27T18:00:00+01:00"},
    )


def test_reminders_move_along_on_skipping() -> None:
    """To the new date."""
    created = replace(WEEKLY, reminders=({"at": "2026-03-01T18:00:00+00:00"},))
    task = decided(task_after(created), SkipOccurrence())
    assert task.reminders == ({"at": "2026-03-08T18:00:00+00:00"},)


def test_reminder_keeps_its_distance_from_its_date() -> None:
    """Set before the due date was moved for one occurrence, or after."""
    before = decided(
        task_after(replace(WEEKLY, reminders=({"at": "2026-03-02T08:00:00+00:00"},))),
        EditTask(due="2026-03-05"),
    )
    assert following_task(done(before)).reminders == ({"at": "2026-03-09T08:00:00+00:00"},)
    after = decided(
        decided(task_after(WEEKLY), EditTask(due="2026-03-05")),
        EditTask(reminders=({"at": "2026-03-05T08:00:00+00:00"},)),
    )
    assert following_task(done(after)).reminders == ({"at": "2026-03-09T08:00:00+00:00"},)


def test_reminders_without_a_date_are_dropped() -> None:
    """Also those that only foreign records have."""
    at: Reminder = {"at": "2026-03-02T08:00:00+00:00"}
    assert shifted((at, {"before": "P1D"}), [], "2026-03-09", None) == ({"before": "P1D"},)
    assert shifted([{"at": "noon"}], ["2026-03-02"], "2026-03-09", None) == ()
    assert shifted([{"at": "2026-03-02T08:00:00"}], ["2026-03-02"], "2026-03-09", None) == ()
    assert shifted((at,), ["2026-03-02"], "9999-12-31", None) == ({"at": "9999-12-31T08:00:00+00:00"},)
    assert shifted([{"at": "2026-03-05T08:00:00+00:00"}], ["2026-03-02"], "9999-12-31", None) == ()


# --- properties --------------------------------------------------------------------------------------------

SERIES_EDITS = {
    "title": st.sampled_from(["a", "b", "c"]),
    "notes": st.sampled_from(["", "x", "y"]),
    "priority": st.sampled_from(["none", "low", "high"]),
    "tags": st.sampled_from([(), ("x",), ("x", "y")]),
    "assignees": st.sampled_from([(), ("alice",)]),
    "reminders": st.sampled_from([(), ({"before": "PT1H"},)]),
}


@st.composite
def edits(draw: st.DrawFn) -> EditTask:
    """Generate edits of any fields, for one occurrence or for all."""
    names = draw(st.sets(st.sampled_from(sorted(SERIES_EDITS)), min_size=1))
    fields: dict[str, Any] = {name: draw(SERIES_EDITS[name]) for name in names}
    return EditTask(**fields, scope=draw(st.sampled_from(["this", "following"])))


@hypothesis_given(st.lists(edits(), max_size=8))
def test_next_occurrence_has_exactly_the_edits_of_the_series(wanted: list[EditTask]) -> None:
    """Edits of one occurrence have no effect on it."""
    every, lasting = task_after(WEEKLY), task_after(WEEKLY)
    for edit in wanted:
        every = edited(every, edit)
        if edit.scope != "this":
            lasting = edited(lasting, edit)
    assert following_task(done(every)) == following_task(done(lasting))


def edited(task: Task, edit: EditTask) -> Task:
    event = task_decisions.decide(edit, task, surroundings())
    return task if event is None else with_event(task, event)


@hypothesis_given(
    st.lists(st.tuples(st.integers(-20, 20), st.booleans()), max_size=12),
    st.sampled_from(["FREQ=WEEKLY", "FREQ=DAILY;INTERVAL=2", "FREQ=DAILY;COUNT=9"]),
)
def test_dates_are_those_of_the_rule(moves: list[tuple[int, bool]], rule: str) -> None:
    """However each occurrence was moved, completed or skipped."""
    days = 7 if "WEEKLY" in rule else 2 if "INTERVAL" in rule else 1
    task = task_after(replace(WEEKLY, recurrence=rule))
    for number, (move, skips) in enumerate(moves, start=1):
        assert task.series is not None
        assert (task.series.occurrence, task.due) == (
            number,
            str(date(2026, 3, 2) + timedelta(days=days * (number - 1))),
        )
        task = edited(task, EditTask(due=str(date(2026, 3, 2) + timedelta(days=days * number + move))))
        if number == 9 and "COUNT" in rule:
            assert next_occurrence(done(task), None) is None
            break
        task = decided(task, SkipOccurrence()) if skips else following_task(done(task))
