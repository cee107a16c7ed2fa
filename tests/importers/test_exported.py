"""Imports of exports: an exported history is imported again as the same events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.imported_history import Import, ImportedTask, records_of
from app.log.records import Record, event_data_json
from app.tasks.events import (
    TaskCommented,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskReopened,
    TaskSkipped,
    TaskUndone,
)
from tasktape.importers.batches import parcel
from tasktape.importers.histories import Unusable, history_of
from tasktape.importers.recorded import recorded
from tasktape.importers.xes import XesEvent, XesTrace, read_xes
from tests.exported import by_stream, in_log_order, written
from tests.spec import LIST_ID, OTHER_LIST_ID, START, DomainEvent, raw_of, record_of
from tests.thoroughness import examples

TASK: TypeAdapter[Any] = TypeAdapter(ImportedTask)
EXAMPLE = Path(__file__).parents[2] / "docs/examples/incidents.xes"
RUN = Import(LIST_ID, "alice", None)
NAMES = st.sampled_from(["Accepted", "Queued", "Completed", "A/B", "Closed", "complete", None])
TRACES = st.lists(
    st.lists(
        st.tuples(NAMES, NAMES, st.sampled_from(["Ann", "Bob & Co", None]), st.integers(0, 5)), min_size=1
    ),
    min_size=1,
    max_size=5,
)


def imported(traces: Iterable[XesTrace]) -> list[Record]:
    """Return the records of an import, task by task."""
    return [record for trace in traces for record in imported_task(trace)]


def imported_task(trace: XesTrace) -> list[Record]:
    sent = parcel(trace.label, trace.line, 0, history_of(trace).events).json
    return records_of(RUN, TASK.validate_json(sent))


def exported(records: Iterable[Record]) -> list[XesTrace]:
    """Return the traces of an export of a log with these records."""
    log = [raw_of(record, offset) for offset, record in enumerate(records)]
    return traces_in([written("xes", by_stream(in_log_order(log)))])


def traces_in(chunks: Iterable[bytes]) -> list[XesTrace]:
    found = []
    for trace in read_xes(chunks):
        assert isinstance(trace, XesTrace), trace
        found.append(trace)
    return found


def test_example_is_imported_again_as_the_same_records() -> None:
    """With the same ids, so that an import into the same list adds nothing."""
    records = imported(traces_in([EXAMPLE.read_bytes()]))
    assert imported(exported(records)) == records


@settings(max_examples=examples(40))
@given(TRACES)
def test_every_imported_history_is_imported_again_as_the_same_records(traces: list[Any]) -> None:
    records = imported(
        XesTrace(
            number,
            1,
            f"Trace & {number}",
            [XesEvent(event[0], event[1], event[2], START + timedelta(minutes=event[3])) for event in events],
        )
        for number, events in enumerate(traces)
    )
    assert imported(exported(records)) == records


@pytest.mark.parametrize(
    ("event", "becomes"),
    [
        (TaskEdited({"title": "New", "rank": "x"}), ("task.edited", {"title": "New"})),
        (TaskEdited({"rank": "x"}), None),
        (TaskEdited({"stage": "Done", "status": "done"}), ("task.completed", {"stage": "Done"})),
        (TaskMoved(OTHER_LIST_ID, stage="Next"), ("task.edited", {"stage": "Next"})),
        (TaskMoved(OTHER_LIST_ID, stage="Done", status="done"), ("task.completed", {"stage": "Done"})),
        (TaskMoved(OTHER_LIST_ID), None),
        (TaskUndone(1, {"status": "open", "completed_at": None}), ("task.reopened", {})),
        (TaskSkipped("2026-12-02", "FREQ=DAILY"), ("task.edited", {"due": "2026-12-02"})),
        (TaskCommented("c", "text"), None),
        (TaskDeleted(), None),
        (TaskReopened(), ("task.reopened", {})),
    ],
)
def test_other_events_become_what_they_changed(event: DomainEvent, becomes: Any) -> None:
    assert recorded(event.type, event_data_json(event).decode()) == becomes


def test_history_of_a_task_that_was_not_imported_is_imported() -> None:
    events: list[DomainEvent] = [
        TaskCreated(LIST_ID, "Buy milk", notes="2 l", tags=("shop",), stage="Next"),
        TaskCommented("c", "from the market"),
        TaskEdited({"priority": "high"}),
        TaskCompleted(stage="Done"),
    ]
    [trace] = exported(record_of(event, nth) for nth, event in enumerate(events, start=1))
    assert [(record.type, json.loads(event_data_json(record.data))) for record in imported_task(trace)] == [
        (
            "task.created",
            {"list_id": LIST_ID, "title": "Buy milk", "notes": "2 l", "tags": ["shop"], "stage": "Next"},
        ),
        ("task.edited", {"fields": {"priority": "high"}}),
        ("task.completed", {"stage": "Done"}),
    ]


def test_export_of_a_part_of_a_history_is_refused() -> None:
    events: list[DomainEvent] = [TaskCreated(LIST_ID, "A"), TaskCompleted()]
    log = [raw_of(record_of(each, nth), nth) for nth, each in enumerate(events, start=1)]
    [trace] = traces_in([written("xes", by_stream(in_log_order(log))[1:])])
    with pytest.raises(Unusable, match="first event does not create"):
        history_of(trace)


@pytest.mark.parametrize("data", ["", "{", "[]", "null"])
def test_data_that_is_no_object_refuses_the_trace(data: str) -> None:
    event = XesEvent("A", None, "Ann", START, ("task.created", data))
    with pytest.raises(Unusable, match="tasktape:data"):
        history_of(XesTrace(1, 1, "T", [event]))
