"""Each declared field of a task in commands, events, series, undo, merges, imports, search and columns."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.conflicts.merge import merged
from app.errors import Conflict
from app.imported_history import CreatedData, EditedData
from app.search.criteria import criteria_of
from app.search.facets import facets_of
from app.search.parser import parse
from app.search.sorting import SORT_ORDERS
from app.tasks.commands import CreateTask, EditTask, TaskPatch, UndoChange
from app.tasks.decision_context import Change
from app.tasks.events import TaskCreated, TaskEdited, TaskUndone
from app.tasks.fields import EDITED_FIELDS, FIELDS, SERIES_FIELDS
from app.tasks.series import next_occurrence
from app.tasks.state import TASK_FIELDS, Task
from app.zones import zone
from projections.read_models.search_index import task_search
from projections.read_models.tasks import tasks
from tasktape.cli.fields import CLEARABLE, NAMED_OTHERWISE, field_options
from tasktape_client.models import Task as ClientTask
from tasktape_client.models.tasks import NewTask, TaskChanges
from tests.spec import LIST_ID, OTHER_LIST_ID, START, TASK_ID, given, task_after

VALUES: dict[str, Any] = {
    "list_id": LIST_ID,
    "title": "Send it",
    "notes": "by post",
    "priority": "high",
    "due": "2026-12-01",
    "time_zone": "Europe/Madrid",
    "tags": ("home",),
    "assignees": ("bob",),
    "stage": "Doing",
    "parent_id": OTHER_LIST_ID,
    "recurrence": "FREQ=DAILY",
    "recurrence_from": "completion",
    "reminders": ({"before": "PT1H"},),
    "estimate": 45,
}
"""A value of each field, other than its default."""
CREATED = TaskCreated(LIST_ID, "Write the report")
EDITED = pytest.mark.parametrize("name", EDITED_FIELDS)


def test_values_are_of_all_fields() -> None:
    assert VALUES.keys() == FIELDS.keys()


def test_new_task_has_the_given_values() -> None:
    task = task_after(TaskCreated(**VALUES))
    assert {name: getattr(task, name) for name in FIELDS} == VALUES
    assert CreateTask(**VALUES).model_dump() == VALUES


@EDITED
def test_edit_sets_and_clears_a_field(name: str) -> None:
    field = EDITED_FIELDS[name]
    assert TaskPatch.model_validate({name: VALUES[name]}).model_dump()[name] == VALUES[name]
    edited = task_after(CREATED, TaskEdited({name: VALUES[name]}))
    assert getattr(edited, name) == VALUES[name]
    assert name in TASK_FIELDS
    if not field.required:
        assert getattr(task_after(CREATED, TaskEdited({name: field.default})), name) == field.default


@EDITED
def test_null_clears_a_field_unless_it_is_required(name: str) -> None:
    assert EDITED_FIELDS[name].required == (name == "title")
    patch = TypeAdapter(TaskPatch)
    if EDITED_FIELDS[name].required:
        with pytest.raises(ValidationError):
            patch.validate_python({name: None})
    else:
        patch.validate_python({name: None})


@pytest.mark.parametrize("name", sorted(SERIES_FIELDS))
def test_next_occurrence_has_the_value_of_the_series(name: str) -> None:
    first = TaskCreated(**{**VALUES, "recurrence_from": "due"})
    following = next_occurrence(task_after(first), None)
    assert following is not None
    assert getattr(following, name) == VALUES[name]


@pytest.mark.parametrize("name", sorted({*SERIES_FIELDS} - {"reminders", "parent_id"}))
def test_edit_of_one_occurrence_leaves_the_value_of_the_series(name: str) -> None:
    first = TaskCreated(**{**VALUES, "recurrence_from": "due"})
    other: Any = "x" if FIELDS[name].required else FIELDS[name].default
    task = task_after(first, TaskEdited({name: other}, this_only=(name,)))
    following = next_occurrence(task, None)
    assert following is not None
    assert getattr(task, name) == other
    assert getattr(following, name) == VALUES[name]


@pytest.mark.parametrize("name", sorted({*EDITED_FIELDS} - {"parent_id", "recurrence"}))
def test_undo_sets_back_a_field(name: str) -> None:
    edit = TaskEdited({name: VALUES[name]})
    before, after = task_after(CREATED), task_after(CREATED, edit)
    given(CREATED, edit).when(UndoChange(version=2), change=Change("alice", before, after)).then(
        TaskUndone(2, {name: getattr(before, name)})
    )


@pytest.mark.parametrize("name", sorted({*EDITED_FIELDS} - {"recurrence_from"}))
def test_concurrent_changes_merge_as_declared(name: str) -> None:
    """As sets, as texts, or not at all, which is a conflict that names the field."""
    base = task_after(CREATED)
    current = task_after(CREATED, TaskEdited({name: VALUES[name]}))
    command = EditTask(**{name: OTHERS[name]})
    if FIELDS[name].rules.merge != "whole":
        value = getattr(merged(command, base, current), name)
        assert {*VALUES[name]} | {*OTHERS[name]} <= {*value}
        return
    with pytest.raises(Conflict) as refused:
        merged(command, base, current)
    assert refused.value.theirs == {name: VALUES[name]}


OTHERS: dict[str, Any] = {
    "title": "Post it",
    "notes": "by hand",
    "tags": ("work",),
    "assignees": ("carol",),
    "priority": "low",
    "due": "2027-01-01",
    "time_zone": "Europe/Rome",
    "stage": "Done",
    "parent_id": TASK_ID,
    "recurrence": "FREQ=WEEKLY",
    "reminders": ({"before": "PT2H"},),
    "estimate": 60,
}


def test_imported_fields_are_in_imported_events() -> None:
    imported = {name: VALUES[name] for name, field in FIELDS.items() if field.rules.imported}
    assert "estimate" in imported
    as_json = {name: list(value) if isinstance(value, tuple) else value for name, value in imported.items()}
    assert TypeAdapter(CreatedData).validate_python(as_json) == imported
    assert TypeAdapter(EditedData).validate_python(as_json) == imported


def test_fields_are_columns_with_a_type_of_their_own() -> None:
    assert FIELDS.keys() <= {*tasks.columns.keys()}
    for name, field in FIELDS.items():
        assert tasks.columns[name].nullable == field.nullable
    for order in SORT_ORDERS.values():
        assert {order.column} <= {*tasks.columns.keys()} & {*task_search.columns.keys()}


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.has])
def test_task_with_a_value_is_found_by_has(name: str) -> None:
    wanted = criteria_of(parse(f"has:{FIELDS[name].has}", me="alice"), now=START, zone=zone("UTC"))
    assert wanted.fits(task_after(TaskCreated(LIST_ID, "x", **{name: VALUES[name]})))
    assert not wanted.fits(task_after(CREATED))


def test_number_is_found_by_comparison() -> None:
    def found(text: str, task: Task) -> bool:
        return criteria_of(parse(text, me="alice"), now=START, zone=zone("UTC")).fits(task)

    long, none = task_after(TaskCreated(LIST_ID, "x", estimate=90)), task_after(CREATED)
    assert [found(f"estimate:{text}", long) for text in (">60", "<90", "<=90", ">=90", "90", "none")] == [
        True,
        False,
        True,
        True,
        True,
        False,
    ]
    assert [found(f"estimate:{text}", none) for text in (">=0", "none")] == [False, True]
    assert found("-estimate:>60", none)
    assert "has:estimate" in facets_of(task_after(TaskCreated(LIST_ID, "x", estimate=0)))


@pytest.mark.parametrize("value", [-1, 100_001, 1.5, True, "60"])
def test_estimate_outside_its_bounds_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        TaskPatch.model_validate({"estimate": value})


def test_command_line_and_clients_have_each_field() -> None:
    """Except the title, which is an argument."""
    optional = {name for name in EDITED_FIELDS if name != "title"}

    def verb() -> None:
        """Do nothing."""

    options = {parameter.name for parameter in field_options(verb).__click_params__}  # type: ignore[attr-defined]
    named = {NAMED_OTHERWISE.get(name, name) for name in options}
    assert named - {"from_completion"} == optional - {"recurrence_from"}
    assert {NAMED_OTHERWISE.get(name, name) for name in CLEARABLE} == optional - {"recurrence_from"}
    assert TaskChanges.__annotations__.keys() == EDITED_FIELDS.keys()
    assert NewTask.__annotations__.keys() == FIELDS.keys() - {"title"}
    assert FIELDS.keys() <= ClientTask.model_fields.keys()
