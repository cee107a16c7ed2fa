"""Compatibility of schemas: each kind of change that old records could not pass is found, with its field."""

from __future__ import annotations

import json
from dataclasses import field, make_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import AnyUrl, ConfigDict, Field, Json, StringConstraints, TypeAdapter, with_config
from typing_extensions import TypedDict

from api.contract.schema_compatibility import incompatibilities
from api.contract.schema_samples import samples
from app.bounds import Few, Instant, Label, Text
from tests.thoroughness import examples

REQUIRED = object()


class Inner(TypedDict, total=False):
    at: Annotated[str, Field(max_length=10)]
    size: int


class NarrowInner(TypedDict, total=False):
    at: Annotated[str, Field(max_length=9)]
    size: int


class LesserInner(TypedDict, total=False):
    at: Annotated[str, Field(max_length=10)]


class GreaterInner(Inner, total=False):
    more: str


@with_config(ConfigDict(extra="forbid"))
class ClosedInner(TypedDict, total=False):
    at: Annotated[str, Field(max_length=10)]
    size: int


class StrictInner(TypedDict):
    at: Annotated[str, Field(max_length=10)]
    size: int


def schema_of(kind: Any, default: Any = REQUIRED) -> dict[str, Any]:
    """Return the schema of an event with a field `a` of this type."""
    fields: list[Any] = [("a", kind) if default is REQUIRED else ("a", kind, field(default=default))]
    return TypeAdapter(make_dataclass("Event", fields)).json_schema()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (str, str),
        (Label, Text),
        (Label, Label | None),
        (Literal["a"], Literal["a", "b"]),
        (Literal["a", "b"], Label),
        (Literal["a"] | None, Label | None),
        (Literal["a", 1], Literal["a"] | Annotated[int, Field(le=1)]),
        (int, float),
        (int, int | str),
        (int | None, str | int | None),
        (Annotated[int, Field(ge=1, le=5)], Annotated[int, Field(ge=0, le=5)]),
        (Annotated[str, StringConstraints(pattern="^a$")], str),
        (Instant, str),
        (Few[Label], Few[Text]),
        (Few[Label], list[str]),
        (Inner, Inner),
        (Inner, GreaterInner),
        (ClosedInner, Inner),
        (StrictInner, Inner),
        (Few[Inner], Few[Inner | Label]),
        (dict[str, int], dict[str, int | None]),
        (dict[str, int], dict[str, Any]),
        (Any, Any),
        (str, Any),
        (Annotated[str, Field(min_length=0)], str),
        (str, Annotated[str, Field(min_length=0)]),
    ],
)
def test_widened_type_is_compatible(old: Any, new: Any) -> None:
    assert incompatibilities(schema_of(old), schema_of(new)) == []


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (str, int, ["a: string is no longer allowed, only integer"]),
        (float, int, ["a: number is no longer allowed, only integer"]),
        (Any, str, ["a: any type is no longer allowed, only string"]),
        (Label | None, Label, ["a: null is no longer allowed"]),
        (Text, Label, ["a: maxLength 256 is narrower than 100000"]),
        (str, Label, ["a: maxLength 256 is new"]),
        (str, Annotated[str, Field(min_length=1)], ["a: minLength 1 is narrower than 0"]),
        (Text | None, Label | None, ["a: maxLength 256 is narrower than 100000"]),
        (int, Annotated[int, Field(ge=0)], ["a: minimum 0 is new"]),
        (Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)], ["a: minimum 1 is narrower than 0"]),
        (Annotated[int, Field(le=5)], Annotated[int, Field(lt=5)], ["a: exclusiveMaximum 5 is new"]),
        (int, Annotated[int, Field(multiple_of=5)], ["a: multipleOf 5 is new"]),
        (str, Instant, ['a: format "date-time" is new']),
        (str, Annotated[str, StringConstraints(pattern="^a")], ['a: pattern "^a" is new']),
        (
            Annotated[str, StringConstraints(pattern="^a")],
            Annotated[str, StringConstraints(pattern="^b")],
            ['a: pattern "^b" is another'],
        ),
        (str, Literal["a"], ['a: only "a" is still allowed']),
        (
            Literal["a", "b", "c"],
            Literal["a"],
            ['a: "b" is no longer allowed', 'a: "c" is no longer allowed'],
        ),
        (Literal["a", 1], Label, ["a: 1 is no longer allowed"]),
        (Literal["aaa"], Annotated[str, Field(max_length=2)], ['a: "aaa" is no longer allowed']),
        (Literal["a"] | None, Literal["a"], ["a: null is no longer allowed"]),
        (Literal[True], Literal[1], ["a: true is no longer allowed"]),
        (bool, int, ["a: boolean is no longer allowed, only integer"]),
        (
            Few[Label],
            Annotated[tuple[Label, ...], Field(max_length=9)],
            ["a: maxItems 9 is narrower than 200"],
        ),
        (Few[Text], Few[Label], ["a[]: maxLength 256 is narrower than 100000"]),
        (Few[Label], Annotated[Few[Label], Field(min_length=1)], ["a: minItems 1 is narrower than 0"]),
        (list[Any], list[str], ["a[]: any type is no longer allowed, only string"]),
        (Inner, NarrowInner, ["a.at: maxLength 9 is narrower than 10"]),
        (Inner, LesserInner, ["a.size: the field is gone"]),
        (GreaterInner, Inner, ["a.more: the field is gone"]),
        (Inner, ClosedInner, ["a: other fields are no longer allowed"]),
        (
            Inner,
            StrictInner,
            ["a.at: the field is required now", "a.size: the field is required now"],
        ),
        (
            LesserInner,
            StrictInner,
            ["a.at: the field is required now", "a.size: the field is required and new"],
        ),
        (Few[Inner | None], Few[NarrowInner | None], ["a[].at: maxLength 9 is narrower than 10"]),
        (Few[Inner] | None, Few[NarrowInner] | str, ["a[].at: maxLength 9 is narrower than 10", "a: null"]),
        (dict[str, int], dict[str, str], ["a.*: integer is no longer allowed, only string"]),
        (dict[str, Any], dict[str, str], ["a.*: any type is no longer allowed, only string"]),
    ],
)
def test_narrowed_type_is_found_with_its_field(old: Any, new: Any, lines: list[str]) -> None:
    found = incompatibilities(schema_of(old), schema_of(new))
    assert len(found) == len(lines)
    assert all(line.startswith(expected) for line, expected in zip(found, lines, strict=True)), found


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a", "b", ['a: the default of records without the field was "a" and is "b"']),
        (None, "b", ['a: the default of records without the field was null and is "b"']),
        ("a", REQUIRED, ["a: the field is required now"]),
        (REQUIRED, "a", []),
        ("a", "a", []),
    ],
)
def test_changed_default_changes_old_records(old: Any, new: Any, lines: list[str]) -> None:
    assert incompatibilities(schema_of(str | None, old), schema_of(str | None, new)) == lines


def test_renamed_field_is_gone() -> None:
    old = TypeAdapter(make_dataclass("Event", [("a", int), ("b", int, field(default=0))])).json_schema()
    new = TypeAdapter(make_dataclass("Event", [("a", int), ("c", int, field(default=0))])).json_schema()
    assert incompatibilities(old, new) == ["b: the field is gone"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"not": {"type": "string"}}),
        ({}, {"allOf": [{"type": "string"}]}),
        ({}, {"uniqueItems": True}),
        ({"patternProperties": {"a": {}}}, {"patternProperties": {"a": {"type": "null"}}}),
        ({"items": True}, {"items": False}),
        ({"properties": {"a": True}}, {"properties": {"a": False}}),
        ({"type": ["string", "null"]}, {"type": "string"}),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"additionalProperties": False}),
    ],
)
def test_other_keywords_must_stay(old: Any, new: Any) -> None:
    assert incompatibilities(old, new)
    assert incompatibilities(old, old) == []


def test_recursive_types_are_compared() -> None:
    """Each pair of references once."""

    def tree(kind: str) -> dict[str, Any]:
        children = {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
        properties = {"value": {"type": kind}, "children": children}
        return {"$ref": "#/$defs/Tree", "$defs": {"Tree": {"type": "object", "properties": properties}}}

    assert incompatibilities(tree("string"), tree("string")) == []
    lines = incompatibilities(tree("string"), tree("integer"))
    assert lines == ["value: string is no longer allowed, only integer"]


class Kind(Enum):
    """A choice of two types."""

    WORD = "a"
    NUMBER = 1


class Circle(TypedDict):
    kind: Literal["circle"]
    radius: int


class Disc(TypedDict):
    kind: Literal["circle"]
    radius: Annotated[int, Field(ge=1)]


class Square(TypedDict):
    kind: Literal["square"]
    side: int


class Tree(TypedDict):
    """A type that refers to itself."""

    value: int
    children: tuple[Tree, ...]


Shape = Annotated[Circle | Square, Field(discriminator="kind")]
FullShape = Annotated[Disc | Square, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (Shape, FullShape, ["a.radius: minimum 1 is new"]),
        (Shape, Square, ['a.kind: "circle" is no longer allowed', "a.radius: the field is gone", "a.side"]),
        (Circle, Shape, []),
        (tuple[int, Inner], tuple[int, NarrowInner], ["a: prefixItems "]),
        (tuple[int, Inner], tuple[int, Inner], []),
        (Kind, Literal["a"], ["a: 1 is no longer allowed"]),
        (dict[Literal["a"], int], dict[Literal["b"], int], ["a: propertyNames "]),
        (date, datetime, ['a: format "date-time" is another']),
    ],
)
def test_unions_and_other_types_are_compared(old: Any, new: Any, lines: list[str]) -> None:
    found = incompatibilities(schema_of(old), schema_of(new))
    assert len(found) == len(lines), found
    assert all(line.startswith(expected) for line, expected in zip(found, lines, strict=True)), found


@pytest.mark.parametrize(
    "kind",
    [
        *(Shape, Tree, Kind, tuple[int, str], set[str], Annotated[set[bool], Field(min_length=2)], UUID),
        *(date, time, datetime, timedelta, dict[str, int], dict[int, str], Any, Literal[1, "a", True]),
        *(Annotated[dict[str, int], Field(min_length=1)], Annotated[list[str], Field(min_length=2)]),
        *(Annotated[int, Field(multiple_of=5, ge=3, lt=20)], Annotated[float, Field(gt=0, lt=1)]),
        *(Annotated[str, Field(pattern="^[0-9-]+$", min_length=2)], Annotated[str, Field(max_length=0)]),
    ],
)
def test_type_has_samples_that_it_reads(kind: Any) -> None:
    adapter = TypeAdapter[Any](kind)
    found = samples(adapter.json_schema())
    assert found
    for sample in found:
        adapter.validate_json(json.dumps(sample), strict=True)


@pytest.mark.parametrize("kind", [Json, bytes, AnyUrl, Annotated[str, Field(pattern="^[xyz]{7}$")]])
def test_type_without_known_values_has_no_samples(kind: Any) -> None:
    assert samples(schema_of(kind)) == []
    assert incompatibilities(schema_of(kind), schema_of(kind)) == []


NUMBERS = st.integers(0, 3)
WORDS = st.sampled_from(["", "a", "b", "ab"])


def bounded(kind: str, low: str, high: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind)}, optional={low: NUMBERS, high: NUMBERS})


SCALARS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.sampled_from([{"type": "null"}, {"type": "boolean"}]),
    bounded("integer", "minimum", "maximum"),
    bounded("number", "minimum", "exclusiveMaximum"),
    bounded("string", "minLength", "maxLength"),
    st.builds(lambda found: {"enum": found}, st.lists(WORDS | NUMBERS | st.none(), min_size=1, max_size=3)),
    st.just({"type": "string", "pattern": "^a"}),
)


def composed(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from("pq")
    return st.one_of(
        st.builds(lambda found: {"anyOf": found}, st.lists(inner, min_size=1, max_size=3)),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"maxItems": NUMBERS}),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(names, inner, max_size=2)},
            optional={
                "required": st.lists(names, unique=True, max_size=2),
                "additionalProperties": st.booleans() | inner,
            },
        ),
    )


SCHEMAS = st.recursive(SCALARS, composed, max_leaves=5)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.just(0.5) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pqr"), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=examples(300), deadline=None)
@given(SCHEMAS, SCHEMAS, st.lists(VALUES, max_size=5))
def test_compatible_schema_accepts_every_old_value(
    old: dict[str, Any], new: dict[str, Any], values: list[Any]
) -> None:
    """Except in fields that the old one did not know, which no old record of ours has."""
    if incompatibilities(old, new):
        return
    before, after = Draft202012Validator(old), Draft202012Validator(new)
    for value in (*samples(old), *values):
        if before.is_valid(value) and not _has_unknown_fields(old):
            assert after.is_valid(value), (value, old, new)


def _has_unknown_fields(schema: Any) -> bool:
    """Return whether objects of a schema may have fields that it does not name."""
    if isinstance(schema, list):
        return any(map(_has_unknown_fields, schema))
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return True
    return not schema or any(map(_has_unknown_fields, schema.values()))


@settings(max_examples=examples(100), deadline=None)
@given(SCHEMAS)
def test_schema_is_compatible_with_itself(schema: dict[str, Any]) -> None:
    assert incompatibilities(schema, schema) == []


@settings(max_examples=examples(100), deadline=None)
@given(SCHEMAS)
def test_samples_are_valid(schema: dict[str, Any]) -> None:
    validator = Draft202012Validator(schema)
    # Bounds that contradict each other have no values.
    assert all(validator.is_valid(sample) for sample in samples(schema)) or _contradicts(schema)


def _contradicts(schema: Any) -> bool:
    if isinstance(schema, dict):
        if schema.get("minLength", 0) > schema.get("maxLength", 99):
            return True
        if schema.get("minimum", 0) > schema.get("maximum", schema.get("exclusiveMaximum", 99) - 1):
            return True
        return any(map(_contradicts, schema.values()))
    return isinstance(schema, list) and any(map(_contradicts, schema))
