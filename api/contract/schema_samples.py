"""Samples of a JSON Schema: a few values that are valid by it, which reach each field, branch and bound.

A schema with a keyword, format or pattern for which no values are known has no samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from api.contract.schema_compatibility import REFERENCE, AnySchema, Schema

_FORMATS = {
    "date-time": "2026-03-01T09:30:00Z",
    "date": "2026-03-01",
    "time": "09:30:00Z",
    "duration": "PT30M",
    "uuid": "018f0000-0000-7000-8000-000000000001",
}
_MATCHES = ("", "a", "0", "2026-03-01", "00000000-0000-0000-0000-000000000000")
"""Candidates for a text with a pattern."""
_ANYTHING: tuple[Any, ...] = (None, True, 1, "a", [], {})
_KNOWN = {
    *("$schema", "$id", "$defs", "$ref", "title", "description", "default", "examples", "discriminator"),
    *("anyOf", "oneOf", "const", "enum", "type", "format", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    *("properties", "required", "additionalProperties", "minProperties"),
}


def samples(document: Schema) -> list[Any]:
    """Return samples of a whole document, whose `$defs` its schemas refer to."""
    return list(_samples(document, document, frozenset()))


def _samples(schema: AnySchema, document: Schema, around: frozenset[str]) -> Iterator[Any]:
    """Yield samples of a schema that is inside of the references `around`, which end a recursion."""
    if isinstance(schema, bool):
        yield from _ANYTHING if schema else ()
    elif not schema.keys() <= _KNOWN:
        return
    elif "$ref" in schema:
        name = schema["$ref"].removeprefix(REFERENCE)
        if name not in around:
            yield from _samples(document["$defs"][name], document, around | {name})
    elif "anyOf" in schema or "oneOf" in schema:
        for branch in schema.get("anyOf", schema.get("oneOf")):
            yield from _samples(branch, document, around)
    elif "const" in schema or "enum" in schema:
        yield from schema.get("enum", [schema.get("const")])
    else:
        yield from _of_type(schema, document, around)


def _of_type(schema: Schema, document: Schema, around: frozenset[str]) -> Iterator[Any]:
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
    full = {name: found[0] for name, found in fields.items() if found}
    if not required <= full.keys():
        return
    found = [{name: value for name, value in full.items() if name in required}, full]
    found += [{**full, name: value} for name, values in fields.items() for value in values[1:]]
    if isinstance(others := schema.get("additionalProperties"), Mapping):
        found += [{**full, "1": value} for value in _samples(others, document, around)]
    yield from (each for each in found if len(each) >= schema.get("minProperties", 0))


def _arrays(schema: Schema, document: Schema, around: frozenset[str]) -> Iterator[list[Any]]:
    """Yield the shortest array, and one for each sample of an item, or of a field of a tuple."""
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", least + 1)
    if "prefixItems" in schema:
        first = [list(_samples(each, document, around)) for each in schema["prefixItems"]]
        if all(first) and least <= len(first) == most:
            full = [found[0] for found in first]
            yield full
            for place, found in enumerate(first):
                yield from ([*full[:place], value, *full[place + 1 :]] for value in found[1:])
        return
    found = list(_samples(schema.get("items", True), document, around))
    if not least:
        yield []
    if schema.get("uniqueItems") and least > 1:
        yield from [found[:least]] if len(found) >= least else []
    elif max(least, 1) <= most:
        yield from ([value] * max(least, 1) for value in found)


def _texts(schema: Schema) -> Iterator[str]:
    """Yield the shortest and the longest text, or one that has the format or matches the pattern."""
    least, most = schema.get("minLength", 0), schema.get("maxLength", schema.get("minLength", 0) + 100)
    if "format" in schema:
        found = [_FORMATS[schema["format"]]] if schema["format"] in _FORMATS else []
    elif "pattern" in schema:
        found = [text for text in _MATCHES if re.search(schema["pattern"], text)]
    else:
        found = ["a" * length for length in sorted({least, most})]
    yield from (text for text in found if least <= len(text) <= most)


def _numbers(schema: Schema) -> Iterator[float]:
    """Yield the smallest and the largest number near a bound, or near 0."""
    step = schema.get("multipleOf", 1 if schema["type"] == "integer" else 0.5)
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    near = [bound // step * step for bound in (0, low, above, high, below) if bound is not None]
    found = [
        number
        for number in sorted({base + more for base in near for more in (-step, 0, step)})
        if (low is None or low <= number)
        and (above is None or above < number)
        and (high is None or number <= high)
        and (below is None or number < below)
    ]
    yield from dict.fromkeys(found[:1] + found[-1:])
