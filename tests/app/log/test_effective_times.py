"""The times from which events count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.log.effective_times import Successor, successors_in
from app.tasks.events import TaskCreated, TaskEdited, TaskEvent
from tests.folding import fold_log
from tests.spec import LIST_ID, START, raw_of, record_of

STREAM = record_of(TaskEdited({}), 1).stream


def successors(minutes: Sequence[int]) -> list[Successor]:
    """Return the successors in a task's history at these minutes."""
    events: list[TaskEvent] = [TaskCreated(LIST_ID, "a"), *(TaskEdited({"title": "b"}) for _ in minutes[1:])]
    records = [
        record_of(event, version, time=START + timedelta(minutes=minute))
        for version, (event, minute) in enumerate(zip(events, minutes, strict=False), start=1)
    ]
    return successors_in(fold_log(raw_of(record, offset) for offset, record in enumerate(records))[1])


def test_times_that_ascend_need_nothing() -> None:
    assert successors([0, 1, 1, 2]) == []


def test_many_times_that_descend_need_one_range() -> None:
    assert successors([9, 8, 7, 6]) == [Successor(STREAM, 0, 4, START + timedelta(minutes=6))]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_each_event_counts_from_the_earliest_time_of_its_successors(minutes: list[int]) -> None:
    """The ranges are disjoint, and give each version its time."""
    found = {
        version: successor.time
        for successor in successors(minutes)
        for version in range(max(successor.first, 1), successor.version)
        if START + timedelta(minutes=minutes[version - 1]) > successor.time
    }
    for version, minute in enumerate(minutes, start=1):
        expected = START + timedelta(minutes=min(minutes[version - 1 :]))
        assert found.get(version, START + timedelta(minutes=minute)) == expected
