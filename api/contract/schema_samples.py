"""Samples of a JSON Schema: a few values that are valid by it, which reach each field, branch and bound."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
_REFERENCE = "#/$defs/"
_TEXTS = ("", "a", "0")
"""Candidates for a text with a pattern."""
_TIME = "2026-03-01T09:30:00Z"
_ANYTHING: tuple[Any, ...] = (None, True, 1, "a", [], {})


def samples(document: Schema) -> list[Any]:
    """Return samples of a whole document, whose `$defs` its schemas refer to."""
    return list(_samples(document, document, frozenset()))


def _samples(schema: Schema, document: Schema, around: frozenset[str]) -> Iterator[Any]:
    """Yield samples of a schema that is inside of the references `around`, which end a recursion."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        if name not in around:
            yield from _samples(document["$defs"][name], document, around | {name})
        return
    for branch in schema.get("anyOf", schema.get("oneOf", ())):
        yield from _samples(branch, document, around)
    if "anyOf" in schema or "oneOf" in schema:
        return
    if "const" in schema or "enum" in schema:
        yield from schema.get("enum", [schema.get("const")])
        return
    match schema.get("type"):
        case "object":
            yield from _objects(schema, document, around)
        case "array":
            yield from _arrays(schema, document, around)
        case "string":
            yield from _texts(schema)
        case "integer" | "number":
            yield from _numbers(schema)
        case "boolean":
            yield from (True, False)
        case "null":
            yield None
        case _:
            yield from _ANYTHING


def _objects(schema: Schema, document: Schema, around: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Yield the smallest object, one with all fields, and one for each sample of each field."""
    fields = {
        name: list(_samples(field, document, around)) for name, field in schema.get("properties", {}).items()
    }
    required = set(schema.get("required", ()))
    if any(not fields.get(name) for name in required):
        return
    full = {name: found[0] for name, found in fields.items() if found}
    yield {name: value for name, value in full.items() if name in required}
    yield full
    for name, found in fields.items():
        yield from ({**full, name: value} for value in found[1:])


def _arrays(schema: Schema, document: Schema, around: frozenset[str]) -> Iterator[list[Any]]:
    least = schema.get("minItems", 0)
    items = schema.get("items", True)
    found = list(_ANYTHING if items is True else _samples(items, document, around))
    if not least:
        yield []
    if schema.get("maxItems", 1):
        yield from ([value] * max(least, 1) for value in found)


def _numbers(schema: Schema) -> Iterator[float]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 2) - 1)
    yield from sorted({min(low, high) if "minimum" not in schema else low, high})


def _texts(schema: Schema) -> Iterator[str]:
    if schema.get("format") == "date-time":
        yield _TIME
    elif "pattern" in schema:
        yield from (text for text in _TEXTS if re.search(schema["pattern"], text))
    else:
        least = schema.get("minLength", 0)
        yield from sorted({"a" * least, "a" * schema.get("maxLength", least + 1)})
