"""Conversion of traces to histories: events, stages and completion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.imported_history import Import, ImportedTask, records_of
from app.log.fold import State, evolve
from app.tasks.state import Task
from tasktape.importers.histories import Unusable, history_of
from tasktape.importers.occurrences import Occurrences
from tasktape.importers.stages import Stage, stage_of
from tasktape.importers.xes import XesEvent, XesTrace
from tests.spec import LIST_ID, START

TASK = TypeAdapter(ImportedTask)


def trace(*events: tuple[str | None, str | None, str | None]) -> XesTrace:
    """Return a trace of (activity, transition, resource), a minute apart."""
    return XesTrace(
        7,
        1,
        "T",
        [XesEvent(*event, START + timedelta(minutes=minute)) for minute, event in enumerate(events)],
    )


def events_of(*events: tuple[str | None, str | None, str | None]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the events of a trace, as (type, actor, data)."""
    return [(event["type"], event["actor"], event["data"]) for event in history_of(trace(*events)).events]


def task_of(one: XesTrace) -> Task:
    """Return the task after a trace's history was imported and folded."""
    task = TASK.validate_python({"key": one.label, "events": history_of(one).events})
    state: State | None = None
    for record in records_of(Import(LIST_ID, "alice", None), task):
        state = evolve(state, record)
    assert isinstance(state, Task)
    return state


@pytest.mark.parametrize(
    ("activity", "transition", "stage"),
    [
        ("Accepted", "In Progress", Stage("Accepted/In Progress", ends=False)),
        ("Queued", "Awaiting Assignment", Stage("Queued/Awaiting Assignment", ends=False)),
        ("Completed", "In Call", Stage("Completed/In Call", ends=True)),
        ("Unmatched", "Closed", Stage("Unmatched/Closed", ends=True)),
        ("COMPLETED", None, Stage("COMPLETED", ends=True)),
        ("Check invoice", "complete", Stage("Check invoice", ends=False)),
        ("Check invoice", "COMPLETE", Stage("Check invoice", ends=False)),
        ("Check invoice", "pi_abort", Stage("Check invoice", ends=False)),
        ("Cancelled", "start", Stage("Cancelled", ends=True)),
        ("canceled", "unknown", Stage("canceled", ends=True)),
        (" a \n b ", "x\ty", Stage("a b/x y", ends=False)),
        (None, "Resolved", Stage("Resolved", ends=True)),
        ("", None, Stage(None, ends=False)),
        (None, "complete", Stage(None, ends=False)),
        ("x" * 200, None, Stage("x" * 99 + "…", ends=False)),
    ],
)
def test_stage_is_activity_and_transition(activity: str | None, transition: str | None, stage: Stage) -> None:
    """The standard's own transitions are no part of it."""
    assert stage_of(activity, transition) == stage


def test_complete_history_is_converted() -> None:
    """Created, moved between stages and people, completed, reopened, completed again."""
    assert events_of(
        ("Queued", "Awaiting", "Ann"),
        ("Accepted", "In Progress", "Bob"),
        ("Accepted", "In Progress", "Bob"),
        ("Accepted", "Wait", "Bob"),
        ("Accepted", "Wait", "Ann"),
        ("Completed", "Resolved", "Ann"),
        ("Completed", "Closed", "Cat"),
        ("Queued", "Awaiting", "Ann"),
        ("Completed", "Closed", "Ann"),
    ) == [
        ("task.created", "Ann", {"title": "T", "stage": "Queued/Awaiting", "assignees": ("Ann",)}),
        ("task.edited", "Bob", {"stage": "Accepted/In Progress", "assignees": ("Bob",)}),
        ("task.edited", "Bob", {"stage": "Accepted/In Progress"}),
        ("task.edited", "Bob", {"stage": "Accepted/Wait"}),
        ("task.edited", "Ann", {"assignees": ("Ann",)}),
        ("task.completed", "Ann", {"stage": "Completed/Resolved", "assignees": ("Ann",)}),
        ("task.edited", "Cat", {"stage": "Completed/Closed", "assignees": ("Cat",)}),
        ("task.reopened", "Ann", {"stage": "Queued/Awaiting", "assignees": ("Ann",)}),
        ("task.completed", "Ann", {"stage": "Completed/Closed", "assignees": ("Ann",)}),
    ]


def test_single_final_event_becomes_two() -> None:
    """Otherwise the task would stay open for ever."""
    assert events_of(("Completed", None, "Ann")) == [
        ("task.created", "Ann", {"title": "T", "stage": "Completed", "assignees": ("Ann",)}),
        ("task.completed", "Ann", {"stage": "Completed", "assignees": ("Ann",)}),
    ]
    assert [kind for kind, _, _ in events_of(("Accepted", None, "Ann"))] == ["task.created"]


def test_initial_final_stage_is_completed_by_the_next_event() -> None:
    """If that is final too; else the work continues."""
    assert [kind for kind, _, _ in events_of(("Closed", None, "Ann"), ("Closed", None, "Ann"))] == [
        "task.created",
        "task.completed",
    ]
    assert [kind for kind, _, _ in events_of(("Closed", None, "Ann"), ("Accepted", None, "Ann"))] == [
        "task.created",
        "task.edited",
    ]


def test_missing_resource_and_activity_have_defaults() -> None:
    """The actor is "unknown" and the owner stays; without an activity the stage stays."""
    assert events_of(
        (None, None, None), ("A", None, "Ann"), (None, "complete", None), ("Done", None, " ")
    ) == [
        ("task.created", "unknown", {"title": "T"}),
        ("task.edited", "Ann", {"stage": "A", "assignees": ("Ann",)}),
        ("task.edited", "unknown", {"stage": "A"}),
        ("task.completed", "unknown", {"stage": "Done", "assignees": ("Ann",)}),
    ]


def test_events_are_ordered_by_time() -> None:
    """Events of one time keep the file's order."""
    times = [START + timedelta(minutes=minute) for minute in (5, 1, 5, 3, 1)]
    one = XesTrace(1, 1, "T", [XesEvent(str(n), None, None, time) for n, time in enumerate(times)])
    assert [event["data"]["stage"] for event in history_of(one).events] == ["1", "4", "3", "0", "2"]


def test_long_texts_are_shortened() -> None:
    """Titles, users and stages end with an ellipsis."""
    one = XesTrace(1, 1, "t" * 900, [XesEvent("s" * 900, None, "u" * 900, START)])
    task = task_of(one)
    assert (len(task.title), len(task.stage or ""), len(task.assignees[0])) == (500, 100, 128)
    assert {text[-1] for text in (task.title, task.stage or "")} == {"…"}
    assert {text[-4:] for text in (task.assignees[0], task.created_by)} == {"u..."}


TEXT = st.none() | st.text(max_size=8) | st.sampled_from(["Closed", "done", "complete", "Accepted"])
EVENTS = st.lists(
    st.builds(
        XesEvent,
        TEXT.map(lambda text: text and text.replace("\x00", "")),
        TEXT.map(lambda text: text and text.replace("\x00", "")),
        TEXT.map(lambda text: text and text.replace("\x00", "")),
        st.datetimes(
            min_value=datetime(1990, 1, 1),  # noqa: DTZ001
            max_value=datetime(2030, 1, 1),  # noqa: DTZ001
            timezones=st.just(UTC),
        ),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("resource", ["\x9b", "..", "\ue000"])
def test_invalid_user_name_refuses_the_trace(resource: str) -> None:
    """It is not replaced."""
    with pytest.raises(Unusable, match="org:resource"):
        history_of(XesTrace(1, 1, None, [XesEvent("a", None, resource, datetime(2020, 1, 1, tzinfo=UTC))]))


@given(EVENTS)
def test_every_trace_with_valid_users_can_be_imported(events: list[XesEvent]) -> None:
    """Its history is accepted, and ends in the state of the trace."""
    one = XesTrace(1, 1, None, events)
    try:
        task = task_of(one)
    except Unusable:
        reject()
    in_order = sorted(events, key=lambda event: event.time)
    stages = [stage_of(event.name, event.transition) for event in in_order]
    assert task.version == len(events) + (len(events) == 1 and stages[0].ends)
    assert task.stage == next((stage.name for stage in reversed(stages) if stage.name), None)
    assert (task.created_at, task.updated_at) == (in_order[0].time, in_order[-1].time)
    if len(events) > 1 or stages[0].ends:
        assert (task.status == "done") == stages[-1].ends


def test_occurrences_are_counted_per_name() -> None:
    """For any names; two counters are independent."""
    with Occurrences() as one, Occurrences() as other:
        assert [one.count(name) for name in ("a", "b", "a", "", "a", "é\x00")] == [0, 0, 1, 0, 2, 0]
        assert other.count("a") == 0
