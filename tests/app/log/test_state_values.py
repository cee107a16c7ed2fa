"""Values and changes that are found in the JSON of a state without decoding it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC
from json import JSONEncoder
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.lists.events import ListCreated
from app.log.event_json import changes_json
from app.log.fold import changes
from app.log.state_values import changes_since, changes_to_first, value_in
from app.log.updates import state_json
from app.tasks.events import Series
from app.tasks.state import TASK_FIELDS, Task
from tests.spec import LIST_ID, TASK_ID, list_after

NAMES = [field.name for field in fields(Task)][1:]
marks = st.sampled_from([f',"{name}":' for name in NAMES] + ['"', "\\", "},", "ü\u2028", "null", '":'])
texts = st.lists(st.one_of(marks, st.text(max_size=3)), max_size=4).map("".join)
optional = st.one_of(st.none(), texts)
few = st.lists(texts, max_size=3).map(tuple)
times = st.datetimes(timezones=st.just(UTC))
in_series: dict[str, st.SearchStrategy[Any]] = {
    "title": texts,
    "notes": texts,
    "tags": st.lists(texts, max_size=2),
}
series = st.builds(
    Series,
    id=texts,
    occurrence=st.integers(1, 99),
    scheduled=optional,
    values=st.fixed_dictionaries({}, optional=in_series),
)
reminders = st.lists(st.fixed_dictionaries({}, optional={"at": texts, "before": texts}), max_size=2).map(
    tuple
)
tasks = st.builds(
    Task,
    id=st.just(TASK_ID),
    list_id=st.one_of(st.just(LIST_ID), texts),
    title=texts,
    notes=texts,
    priority=st.sampled_from(["none", "high"]),
    due=optional,
    time_zone=optional,
    tags=few,
    assignees=few,
    stage=optional,
    parent_id=optional,
    recurrence=optional,
    recurrence_from=st.sampled_from(["due", "completion"]),
    reminders=reminders,
    estimate=st.one_of(st.none(), st.integers(0, 9)),
    status=st.sampled_from(["open", "done"]),
    series=st.one_of(st.none(), series),
    reminded=few,
    comment_count=st.integers(0, 3),
    rank=texts,
    version=st.integers(1, 9),
    created_at=times,
    created_by=texts,
    updated_at=times,
    completed_at=st.one_of(st.none(), times),
    deleted_at=st.one_of(st.none(), times),
)
stored = JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


@given(task=tasks)
def test_every_field_of_a_task_is_found(task: Task) -> None:
    """Whatever its texts contain."""
    state = state_json(task)
    assert {name: json.loads(value_in(state, name)) for name in NAMES} == {
        name: value for name, value in json.loads(state).items() if name != "id"
    }


@given(before=tasks, after=tasks, kept=st.sets(st.sampled_from(TASK_FIELDS)))
def test_changes_are_those_of_the_states(before: Task, after: Task, kept: set[str]) -> None:
    """From the former values as the audit has them, and the state after them."""
    before = replace(before, **{name: getattr(after, name) for name in kept})
    expected = json.loads(changes_json(changes(before, after)))
    former = stored({name: values[0] for name, values in expected.items()})
    assert json.loads(changes_since(former, "task", state_json(after))) == expected


@given(task=tasks)
def test_changes_to_a_first_state_are_its_values(task: Task) -> None:
    found = json.loads(changes_to_first("task", state_json(task)))
    assert found == json.loads(changes_json(changes(None, task)))


def test_changes_of_lists_and_users_are_those_of_the_states() -> None:
    """A member may have the name of a field."""
    before = list_after(ListCreated("Home"))
    after = replace(before, name="Work", members={"name": "owner", "stages": "viewer"})
    expected = json.loads(changes_json(changes(before, after)))
    former = stored({name: values[0] for name, values in expected.items()})
    assert json.loads(changes_since(former, "list", state_json(after))) == expected
    first = json.loads(changes_json(changes(None, before)))
    assert json.loads(changes_to_first("list", state_json(before))) == first
    assert changes_to_first("user", b'{"id":"ann"}') == b"{}"
