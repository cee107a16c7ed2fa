"""Questions to the audit: their filters, and errors that name what is wrong."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit.changed_values import CHANGED_FIELDS, SEVERAL_VALUES, replaced_texts
from app.audit.filters import FILTERS, types_like
from app.audit.groups import GROUPS, read_group
from app.audit.query import EVERYTHING, SORTS, AuditQuery, Sort, read_query, read_sort
from app.errors import Invalid, Malformed
from app.log.records import EVENT_TYPES
from app.positions import Position
from app.tasks.events import TaskCreated
from app.tasks.state import Task
from projections.audit_search.conditions import CONDITIONS
from projections.read_models.audit_search import type_number
from tests.spec import LIST_ID, task_after

EXAMPLES = [(each.name, each.example) for each in FILTERS.values()]


def test_every_filter_is_an_attribute_and_has_its_sql() -> None:
    assert [each.attribute for each in FILTERS.values()] == [each.name for each in fields(AuditQuery)]
    assert list(CONDITIONS) == list(FILTERS)
    assert get_args(Sort) == SORTS


def test_every_event_type_has_a_number_of_its_own() -> None:
    assert len({type_number(name) for name in EVENT_TYPES}) == len(EVENT_TYPES)


def test_every_field_with_several_values_is_known() -> None:
    task = task_after(TaskCreated(LIST_ID, "T"))
    several = {name for name in Task.__dataclass_fields__ if isinstance(getattr(task, name), tuple)}
    assert several | {"members", "stages", "series"} == SEVERAL_VALUES
    assert set(CHANGED_FIELDS) >= SEVERAL_VALUES
    assert len(CHANGED_FIELDS) < 63  # bits of a column


def test_all_filters_together_round_trip() -> None:
    query = read_query(EXAMPLES)
    assert read_query(query.parameters()) == query
    assert [name for name, _ in query.parameters()] == list(FILTERS)
    assert read_query([]) == EVERYTHING
    assert EVERYTHING.parameters() == []


@given(st.lists(st.sampled_from([*EXAMPLES, ("actor", "bob"), ("type", "list.*"), ("outcome", "parked")])))
def test_any_question_that_is_read_round_trips(parameters: list[tuple[str, str]]) -> None:
    try:
        query = read_query(parameters)
    except (Invalid, Malformed):
        return
    assert read_query(query.parameters()) == query


def test_values_are_parsed() -> None:
    query = read_query(
        [
            ("actor", "alice"),
            ("actor", "bob"),
            ("type", "task.com*"),
            ("time_from", "2026-03-01T10:00:00 01:00"),  # an unescaped plus
            ("position_to", "1:20"),
            ("q", '"heating oil" -soon'),
        ]
    )
    assert query.actors == ("alice", "bob")
    assert query.event_types == (
        "task.completed",
        "task.commented",
        "task.comment_edited",
        "task.comment_deleted",
    )
    assert query.time_from == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert query.position_to == Position(1, 20)
    assert [(needle.forms, needle.negated) for needle in query.needles] == [
        (("heating", "oil"), False),
        (("soon",), True),
    ]
    assert types_like("*") == tuple(EVENT_TYPES)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("type", "task.complete", "did you mean task.completed?"),
        ("type", "[a-z]", "matches no event type"),
        ("outcome", "acepted", "did you mean accepted?"),
        ("outcome", "xyz", "known are accepted, superseded, parked"),
        ("field", "titel", "did you mean title?"),
        ("stream", "milk", "one looks like task:"),
        ("list_id", "Home", "a UUID"),
        ("time_from", "yesterday", "must be"),
        ("position", "12", "one looks like 0:121"),
        ("q", "is:open", "takes words only"),
        ("q", "&", "no letter or digit"),
        ("actor", "a\0b", "U+0000"),
        ("source", "x" * 3_000, "characters"),
        ("from", "Doing", "give one field with it"),
        ("to", "Done", "give one field with it"),
    ],
)
def test_wrong_value_is_named_with_what_would_be_right(name: str, text: str, message: str) -> None:
    with pytest.raises(Invalid) as error:
        read_query([(name, text)])
    assert [each.field for each in error.value.errors] == [name]
    assert message in error.value.errors[0].message


def test_unknown_filter_is_named_with_the_nearest_one() -> None:
    with pytest.raises(Malformed, match="unknown filter 'actr': did you mean actor"):
        read_query([("actr", "alice")])
    with pytest.raises(Malformed, match="'q' is given twice"):
        read_query([("q", "milk"), ("q", "bread")])
    with pytest.raises(Invalid, match="more than 50 values"):
        read_query([("actor", f"a{number}") for number in range(51)])
    with pytest.raises(Invalid, match="did you mean -time"):
        read_sort("-tim")
    with pytest.raises(Invalid, match="did you mean actor"):
        read_group("actors", EVERYTHING)
    with pytest.raises(Invalid, match="one value at a time"):
        read_group("to", AuditQuery(fields=("tags",)))
    assert [read_group(name, AuditQuery(fields=("stage",))) for name in GROUPS] == list(GROUPS)


@pytest.mark.parametrize(
    ("before", "after", "removed", "added"),
    [
        ("Doing", "Done", ("Doing",), ("Done",)),
        (None, "Done", ("",), ("Done",)),
        ("", None, ("",), ("",)),
        (["a", "b"], ["b", "c"], ("a",), ("c",)),
        ([], ["c"], ("",), ("c",)),
        ({"bob": "editor"}, {"bob": "viewer"}, ("bob:editor",), ("bob:viewer",)),
        (30, 60, ("30",), ("60",)),
        (False, True, ("false",), ("true",)),
        ([{"b": 1, "a": 2}], [], ('{"a":2,"b":1}',), ("",)),
    ],
)
def test_values_of_a_change_are_texts(
    before: object, after: object, removed: tuple[str, ...], added: tuple[str, ...]
) -> None:
    assert replaced_texts(before, after) == (removed, added)


def test_every_filter_and_group_is_in_the_reference() -> None:
    text = (Path(__file__).parents[3] / "docs/reference/audit.md").read_text()
    filters, groups = (
        dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE)) for part in text.split("| group |")
    )
    assert filters == {name: each.documentation for name, each in FILTERS.items()}
    assert groups == GROUPS
