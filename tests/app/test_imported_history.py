"""Imported histories: records, ids, and missing parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.errors import Undecodable
from app.imported_history import Import, ImportedTask, import_list_id, missing, records_of, task_id
from app.log.records import Record, encode
from app.tasks.events import TaskCompleted, TaskCreated, TaskEdited, TaskReopened
from tests.folding import fold_log
from tests.spec import LIST_ID, OTHER_LIST_ID, raw_of

TASK = TypeAdapter(ImportedTask)
RUN = Import(LIST_ID, "alice", "run-1")
CREATED: dict[str, Any] = {
    "type": "task.created",
    "time": "2012-05-05T14:54:27+02:00",
    "actor": "Ann",
    "data": {"title": "T", "stage": "Queued", "assignees": ["Ann"]},
}
EDITED: dict[str, Any] = {
    "type": "task.edited",
    "time": "2012-05-06T00:00:00Z",
    "actor": "Bob",
    "data": {"stage": "Doing"},
}
COMPLETED = {"type": "task.completed", "time": "2012-05-07T00:00:00Z", "actor": "Bob"}
REOPENED = {
    "type": "task.reopened",
    "time": "2012-05-08T00:00:00Z",
    "actor": "Cat",
    "data": {"stage": "Queued", "assignees": ["Cat"]},
}
EVENTS: list[dict[str, Any]] = [CREATED, EDITED, COMPLETED, REOPENED]


def task(*events: dict[str, Any], key: str = "K", **more: Any) -> ImportedTask:
    """Return a task as in a request."""
    return TASK.validate_python({"key": key, "events": list(events), **more})


def test_records_keep_time_and_actor() -> None:
    """The source names the importing user, the correlation the run."""
    records = records_of(Import(LIST_ID, "ali ce", "run-1"), task(*EVENTS))
    assert [record.data for record in records] == [
        TaskCreated(list_id=LIST_ID, title="T", stage="Queued", assignees=("Ann",)),
        TaskEdited({"stage": "Doing"}),
        TaskCompleted(),
        TaskReopened(stage="Queued", assignees=("Cat",)),
    ]
    assert [record.version for record in records] == [1, 2, 3, 4]
    assert [record.actor for record in records] == ["Ann", "Bob", "Bob", "Cat"]
    assert records[0].time == datetime(2012, 5, 5, 12, 54, 27, tzinfo=UTC)
    assert {record.source for record in records} == {"/tasktape/import/ali%20ce"}
    assert {record.correlation_id for record in records} == {"run-1"}
    assert len({record.id for record in records}) == 4
    _, folded = fold_log([raw_of(record, offset) for offset, record in enumerate(records)])
    assert [one.outcome for one in folded] == ["accepted"] * 4


def test_ids_never_change() -> None:
    """Logs have these ids: others would import everything a second time."""
    records = records_of(RUN, task(*EVENTS))
    assert records[0].stream == "task:9aad4d1c-dacb-59b8-8129-fa6ba49511af"
    assert [record.id for record in records] == [
        "0b5772a6-a29a-5581-97c7-f52f147f15ee",
        "8fb3d371-1985-548b-a082-b91674f110ad",
        "348119d7-4127-5418-b102-787c092e04f9",
        "9851ba0e-05c5-5fc1-bb33-610b924df8c8",
    ]
    assert import_list_id("alice", "log", 0) == "7df3a68e-76a6-5ef1-a535-4baa9e616fd1"
    assert [encode(one) for one in records_of(RUN, task(*EVENTS))] == [encode(one) for one in records]


def test_task_ids_depend_on_list_key_and_occurrence() -> None:
    """Not on their contents."""
    ids = {
        task_id(LIST_ID, task(CREATED)),
        task_id(OTHER_LIST_ID, task(CREATED)),
        task_id(LIST_ID, task(CREATED, key="L")),
        task_id(LIST_ID, task(CREATED, nth=1)),
    }
    assert len(ids) == 4
    assert task_id(LIST_ID, task(*EVENTS, nth=0)) == task_id(LIST_ID, task(CREATED))


def test_list_ids_depend_on_user_name_and_deletions() -> None:
    """The number of deleted lists of that name."""
    assert (
        len(
            {import_list_id(*parts) for parts in (("a", "n", 0), ("b", "n", 0), ("a", "m", 0), ("a", "n", 1))}
        )
        == 4
    )


@pytest.mark.parametrize(
    "events",
    [[EDITED], [CREATED, CREATED], [CREATED, EDITED, CREATED]],
)
def test_invalid_history_is_refused(events: list[dict[str, Any]]) -> None:
    """It begins with one creation."""
    with pytest.raises(Undecodable):
        records_of(RUN, task(*events))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time", "2012-05-05T14:54:27"),
        ("time", "0001-01-01T00:00:00+14:00"),
        ("time", "soon"),
        ("time", None),
        ("actor", ""),
        ("actor", "x" * 129),
        ("actor", "a\x00"),
        ("type", "task.exploded"),
        ("type", "task.deleted"),
        ("data", {}),
        ("data", {"title": "T", "list_id": OTHER_LIST_ID}),
        ("data", {"title": "T", "rank": "0"}),
        ("data", {"title": " "}),
        ("data", {"title": "T", "stage": "x" * 101}),
        ("data", {"title": "T", "assignees": "Ann"}),
        ("id", "chosen"),
        ("version", 7),
    ],
)
def test_invalid_event_is_refused(field: str, value: Any) -> None:
    """Imports cannot choose ids, versions, lists or ranks, nor break the rules of the fields."""
    with pytest.raises(ValidationError) as caught:
        task({**CREATED, field: value})
    assert "events" in str(caught.value.errors()[0]["loc"])


@pytest.mark.parametrize(
    "more", [{"key": ""}, {"key": "x" * 1001}, {"nth": -1}, {"id": "chosen"}, {"events": []}]
)
def test_invalid_task_is_refused(more: dict[str, Any]) -> None:
    """It needs a key, an occurrence, and an event."""
    with pytest.raises(ValidationError):
        TASK.validate_python({"key": "K", "events": [CREATED], **more})


def ids_of(records: Sequence[Record]) -> list[str]:
    return [record.id for record in records]


@given(st.integers(0, 4), st.lists(st.uuids().map(str), max_size=3))
def test_missing_events_are_the_new_tail(kept: int, others: list[str]) -> None:
    """None for a task that diverged."""
    history = records_of(RUN, task(*EVENTS))
    there = ids_of(history)[:kept]
    found = missing(history, there)
    assert found is not None
    assert ids_of(found) == ids_of(history)[kept:]
    assert list(missing(history, there + others) or []) == ([] if kept == 4 or others else list(found))
    assert (missing(history, there + others) is None) == (bool(others) and kept < 4)


def test_corrected_history_differs_from_the_imported_one() -> None:
    """Ids are derived from contents."""
    there = ids_of(records_of(RUN, task(*EVENTS)))
    for changed in (
        {**EDITED, "actor": "Cat"},
        {**EDITED, "time": "2012-05-06T00:00:01Z"},
        {**EDITED, "data": {"stage": "Waiting"}},
    ):
        assert missing(records_of(RUN, task(CREATED, changed, COMPLETED, REOPENED)), there) is None
    longer = records_of(RUN, task(*EVENTS, COMPLETED))
    assert ids_of(missing(longer, there) or []) == ids_of(longer)[4:]
    assert missing(records_of(RUN, task(CREATED)), there) == []
