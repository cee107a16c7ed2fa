"""Series: what an occurrence hands on to the next, and what stays its own."""

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
    Reminder,
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
from app.tasks.series import next_id, next_occurrence, shifted
from app.tasks.state import Task
from tests.spec import LIST_ID, OTHER_LIST_ID, START, TASK_ID, given, record_of, surroundings, task_after

WEEKLY = TaskCreated(LIST_ID, "Water", due="2026-03-02", recurrence="FREQ=WEEKLY")
AT_NINE = TaskCreated(
    LIST_ID, "Stand-up", due="2026-03-23T09:00:00+01:00", time_zone="Europe/Madrid", recurrence="FREQ=WEEKLY"
)


def following_task(task: Task, stage: str | None = None) -> Task:
    """The next occurrence, as it begins."""
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
    """The task after a command that has an effect."""
    event = task_decisions.decide(command, task, surroundings(**around))
    assert event is not None
    return with_event(task, event)


def done(task: Task, **given: Any) -> Task:
    return with_event(task, TaskCompleted(), **given)


def test_the_next_occurrence_has_what_the_one_before_had() -> None:
    """Everything that is of the series goes over; nobody is told; it comes right after in the list."""
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


def test_the_next_occurrence_is_by_whom_the_series_is() -> None:
    """Whoever completes one: reminders and comments are told to its creator."""
    following = next_occurrence(done(task_after(WEEKLY), actor="bob"), None)
    assert following is not None
    assert evolve(None, following, stream_key="next", time=START, actor="bob").created_by == "alice"


def test_what_happened_to_an_occurrence_does_not_happen_to_the_next() -> None:
    """Comments, reminders that fired and the stage are an occurrence's own."""
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


def test_the_id_follows_from_the_series_and_the_occurrence() -> None:
    """Whoever makes it, and however often the one before was completed, it is the same task."""
    first = task_after(WEEKLY, TaskCompleted())
    again = task_after(
        WEEKLY, TaskCompleted(), TaskReopened(), TaskEdited({"title": "Rain"}), TaskCompleted()
    )
    assert following_task(first).id == following_task(again).id == derived_id("occurrence", TASK_ID, "2")
    assert following_task(done(following_task(first))).id == derived_id("occurrence", TASK_ID, "3")


def test_count_counts_down_to_an_end() -> None:
    """COUNT is how many are left, this one included."""
    task, rules = task_after(replace(WEEKLY, recurrence="FREQ=WEEKLY;COUNT=3")), []
    while True:
        rules.append(task.recurrence)
        if next_occurrence(done(task), None) is None:
            break
        task = following_task(done(task))
    assert rules == ["FREQ=WEEKLY;COUNT=3", "FREQ=WEEKLY;COUNT=2", "FREQ=WEEKLY;COUNT=1"]


def test_until_ends_a_series() -> None:
    """The day of UNTIL is the last that counts."""
    until = replace(WEEKLY, recurrence="FREQ=WEEKLY;UNTIL=20260309")
    second = following_task(task_after(until, TaskCompleted()))
    assert second.due == "2026-03-09"
    assert next_occurrence(done(second), None) is None


def test_what_does_not_recur_has_nothing_after_it() -> None:
    """Neither a task without a rule, nor one whose rule was taken away."""
    assert next_occurrence(task_after(replace(WEEKLY, recurrence=None), TaskCompleted()), None) is None
    assert next_occurrence(task_after(WEEKLY, TaskEdited({"recurrence": None})), None) is None


def test_a_rule_that_cannot_be_read_ends_the_series() -> None:
    """Foreign records may hold any text; what follows from it is nothing, and no error."""
    for rule, due in (("nonsense", "2026-03-02"), ("FREQ=WEEKLY", "Monday"), ("FREQ=WEEKLY", "9999-12-31")):
        assert next_occurrence(task_after(replace(WEEKLY, recurrence=rule, due=due)), None) is None


def test_from_the_completion() -> None:
    """The next date counts from the day it was done on, at the time of day of the series."""
    created = replace(AT_NINE, recurrence="FREQ=DAILY;INTERVAL=3", recurrence_from="completion")
    late = done(task_after(created), time=datetime(2026, 3, 27, 18, tzinfo=UTC))
    assert following_task(late).due == "2026-03-30T09:00:00+02:00"
    moved = decided(task_after(created), EditTask(due="2026-03-26T17:00:00+01:00"))
    assert following_task(done(moved, time=late.updated_at)).due == "2026-03-30T09:00:00+02:00"


# --- edits of one occurrence, and of all to come ----------------------------------------------------------


def test_another_due_date_is_for_this_occurrence_only() -> None:
    """The pattern goes on from where the series had it."""
    moved = decided(task_after(WEEKLY), EditTask(due="2026-03-05"))
    assert (moved.due, moved.series) == ("2026-03-05", Series(TASK_ID, 1, "2026-03-02"))
    assert following_task(done(moved)).due == "2026-03-09"


def test_another_due_date_for_all_to_come() -> None:
    """The pattern goes on from the new date."""
    moved = decided(task_after(WEEKLY), EditTask(due="2026-03-05", scope="following"))
    assert following_task(done(moved)).due == "2026-03-12"


def test_other_fields_are_for_all_to_come() -> None:
    """A title or an assignee stays with the series, unless the edit says otherwise."""
    edited = decided(task_after(WEEKLY), EditTask(title="Water all", assignees=("alice",)))
    following = following_task(done(edited))
    assert (following.title, following.assignees) == ("Water all", ("alice",))


def test_fields_for_this_occurrence_only_do_not_leak() -> None:
    """The next one, and the one after it, have the series' own."""
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


def test_the_newest_word_on_the_series_holds() -> None:
    """Edited for this one, then for all to come: the latter is what the next has."""
    once = decided(task_after(WEEKLY), EditTask(title="Once", tags=("x",), scope="this"))
    twice = decided(once, EditTask(title="Twice", scope="this"))
    assert following_task(done(twice)).title == "Water"
    ever = decided(twice, EditTask(title="Ever"))
    assert (following_task(done(ever)).title, following_task(done(ever)).tags) == ("Ever", ())


def test_what_was_for_this_occurrence_only_may_be_for_all_to_come_after_all() -> None:
    """Saying the same again of all to come is a change of the series; saying nothing of them is none."""
    once = decided(task_after(WEEKLY), EditTask(title="Once", due="2026-03-05", scope="this"))
    ever = decided(once, EditTask(title="Once", due="2026-03-05", scope="following"))
    assert (following_task(done(ever)).title, following_task(done(ever)).due) == ("Once", "2026-03-12")
    assert edited(once, EditTask(title="Once", due="2026-03-05")) is once
    assert edited(ever, EditTask(title="Once", due="2026-03-05", scope="following")) is ever


def test_a_time_zone_for_this_occurrence_only_does_not_move_the_series() -> None:
    """Nine o'clock in Madrid is next week's time, wherever this one took place."""
    away = decided(
        task_after(AT_NINE),
        EditTask(time_zone="America/New_York", due="2026-03-23T09:00:00-04:00", scope="this"),
    )
    following = following_task(done(away))
    assert (following.due, following.time_zone) == ("2026-03-30T09:00:00+02:00", "Europe/Madrid")


def test_a_time_zone_with_a_time_moves_the_series_there() -> None:
    """Who moves to New York meets there at nine from now on."""
    moved = decided(
        task_after(AT_NINE), EditTask(time_zone="America/New_York", due="2026-03-23T09:00:00-04:00")
    )
    assert following_task(done(moved)).due == "2026-03-30T09:00:00-04:00"


def test_a_time_zone_alone_leaves_the_dates_of_the_series() -> None:
    """A date that was moved for this one only is not taken for the series' own."""
    moved = decided(task_after(WEEKLY), EditTask(due="2026-03-05"))
    assert following_task(done(decided(moved, EditTask(time_zone="Asia/Tokyo")))).due == "2026-03-09"


def test_another_rule_begins_at_the_due_date() -> None:
    """What recurs otherwise from now on keeps its place in the series."""
    moved = decided(task_after(WEEKLY), EditTask(due="2026-03-05"))
    other = decided(moved, EditTask(recurrence="FREQ=DAILY"))
    following = following_task(done(other))
    assert (following.due, following.series) == ("2026-03-06", Series(TASK_ID, 2, "2026-03-06"))


def test_moving_to_another_list_is_for_all_to_come() -> None:
    """The series goes along."""
    assert (
        following_task(task_after(WEEKLY, TaskMoved(OTHER_LIST_ID), TaskCompleted())).list_id == OTHER_LIST_ID
    )


# --- skipping ----------------------------------------------------------------------------------------------


def test_skipping_moves_on_to_the_next_date() -> None:
    """The same task, one occurrence later, with COUNT counted down."""
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


def test_skipping_ends_what_was_for_this_occurrence_only() -> None:
    """The task is the next occurrence now."""
    edited = decided(task_after(WEEKLY), EditTask(title="Once", due="2026-03-04", scope="this"))
    task = decided(edited, SkipOccurrence())
    assert (task.title, task.due, task.series) == ("Water", "2026-03-09", Series(TASK_ID, 2, "2026-03-09"))


@pytest.mark.parametrize(
    ("now", "due"), [(datetime(2026, 3, 1, tzinfo=UTC), "2026-03-05"), (START, "2026-03-05")]
)
def test_skipping_what_counts_from_the_completion_before_it_is_due(now: datetime, due: str) -> None:
    """It moves on from its date, however long ago it was touched."""
    created = replace(WEEKLY, recurrence="FREQ=DAILY;INTERVAL=3", recurrence_from="completion")
    given(created).when(SkipOccurrence(), now=now).then(TaskSkipped(due, "FREQ=DAILY;INTERVAL=3"))


def test_skipping_what_counts_from_the_completion_when_it_is_overdue() -> None:
    """It moves on from today."""
    created = replace(WEEKLY, recurrence="FREQ=DAILY;INTERVAL=3", recurrence_from="completion")
    now = datetime(2026, 4, 10, 12, tzinfo=UTC)
    given(created).when(SkipOccurrence(), now=now).then(TaskSkipped("2026-04-13", "FREQ=DAILY;INTERVAL=3"))


def test_the_last_occurrence_can_not_be_skipped() -> None:
    """Nor can one that is done, nor a task that does not recur."""
    last = replace(WEEKLY, recurrence="FREQ=WEEKLY;COUNT=1")
    given(last).when(SkipOccurrence()).then_refused(Conflict, "last")
    given(WEEKLY, TaskCompleted()).when(SkipOccurrence()).then_refused(Conflict, "done")
    given(replace(WEEKLY, recurrence=None)).when(SkipOccurrence()).then_refused(Conflict, "recur")


# --- reminders ---------------------------------------------------------------------------------------------


def test_reminders_at_a_time_move_along() -> None:
    """Eight o'clock stays eight o'clock when summer time begins; what is before the due date stays so."""
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


def test_reminders_move_along_when_an_occurrence_is_skipped() -> None:
    """A skipped occurrence reminds of the date it moved on to."""
    created = replace(WEEKLY, reminders=({"at": "2026-03-01T18:00:00+00:00"},))
    task = decided(task_after(created), SkipOccurrence())
    assert task.reminders == ({"at": "2026-03-08T18:00:00+00:00"},)


def test_a_reminder_keeps_its_distance_from_the_date_it_was_set_for() -> None:
    """Whether it was set before the due date was moved for this occurrence only, or after."""
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


def test_reminders_without_a_date_to_keep_their_distance_from_go() -> None:
    """So do those that only foreign records can hold."""
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
    """Edits of any fields, for this occurrence or for all to come."""
    names = draw(st.sets(st.sampled_from(sorted(SERIES_EDITS)), min_size=1))
    fields: dict[str, Any] = {name: draw(SERIES_EDITS[name]) for name in names}
    return EditTask(**fields, scope=draw(st.sampled_from(["this", "following"])))


@hypothesis_given(st.lists(edits(), max_size=8))
def test_the_next_occurrence_has_exactly_the_edits_of_the_series(wanted: list[EditTask]) -> None:
    """Those for one occurrence only might as well not have been made."""
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
def test_the_chain_is_the_rule_wherever_occurrences_are_moved(
    moves: list[tuple[int, bool]], rule: str
) -> None:
    """However each occurrence was moved, and whether it was done or skipped, the dates are the rule's."""
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
