"""Compatibility of two JSON Schemas: everything that is valid by the old one must be valid by the new one.

It must also mean the same, so no field may be gone, and no default may change. The keywords are those that
pydantic makes of event classes; any other keyword must stay as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf, nextafter
from typing import Any

Schema = Mapping[str, Any]
AnySchema = Schema | bool
"""A schema, or one of those that allow everything and nothing."""
REFERENCE = "#/$defs/"
_LOWER_BOUNDS = {"minLength": 0, "minItems": 0, "minProperties": 0, "minimum": None, "exclusiveMinimum": None}
"""The lower bounds, each with its default."""
_UPPER_BOUNDS = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum")
_COMPARED = {
    *("anyOf", "oneOf", "enum", "const", "type", "items"),
    *("properties", "required", "additionalProperties"),
    *_LOWER_BOUNDS,
    *_UPPER_BOUNDS,
}
_ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description", "default", "examples", "discriminator"}
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_ANYTHING: Schema = {}


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """Return what the new schema no longer allows or reads otherwise, one line each, with the field."""
    return list(_Comparison(old, new).differences(old, new, "", frozenset()))


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A comparison of two documents, whose `$defs` their schemas refer to."""

    old: Schema
    new: Schema

    def differences(
        self, old: AnySchema, new: AnySchema, where: str, compared: frozenset[tuple[str, str]]
    ) -> Iterator[str]:
        """Return the differences of two schemas at `where`; `compared` are the references around it."""
        old, new = _schema(old), _schema(new)
        if "$ref" in old and "$ref" in new:
            pair = old["$ref"], new["$ref"]
            if pair in compared:
                return
            compared |= {pair}
        old, new = _resolved(old, self.old), _resolved(new, self.new)
        if (branches := _branches(old)) is not None:
            for branch in branches:
                yield from self.differences(branch, new, where, compared)
        elif (values := _values(old)) is not None:
            lost = [value for value in values if not self._allows(new, value)]
            yield from (_line(where, f"{json.dumps(value)} is no longer allowed") for value in lost)
        elif (branches := _branches(new)) is not None:
            yield from self._best_of(old, branches, where, compared)
        elif (values := _values(new)) is not None:
            yield _line(where, f"only {', '.join(map(json.dumps, values))} is still allowed")
        elif not _same_type(old, new):
            yield _line(where, f"{old.get('type', 'any type')} is no longer allowed, only {new['type']}")
        else:
            yield from (_line(where, text) for text in _narrowed_bounds(old, new))
            yield from (_line(where, text) for text in self._other_keywords(old, new))
            yield from self._fields(old, new, where, compared)
            if "items" in new:
                yield from self.differences(old.get("items", True), new["items"], f"{where}[]", compared)

    def _best_of(
        self, old: Schema, branches: list[Schema], where: str, compared: frozenset[tuple[str, str]]
    ) -> Iterator[str]:
        """Return the differences to the branch that is closest."""
        found = []
        for branch in branches:
            other = not _same_type(old, _resolved(branch, self.new))
            found.append((other, list(self.differences(old, branch, where, compared))))
        yield from min(found, key=lambda each: (bool(each[1]), each[0], len(each[1])))[1]

    def _allows(self, new: Schema, value: Any) -> bool:
        """Return whether the new schema allows a value of an enumeration, which has no parts."""
        new = _resolved(new, self.new)
        if (branches := _branches(new)) is not None:
            return any(self._allows(branch, value) for branch in branches)
        if (values := _values(new)) is not None:
            return json.dumps(value) in map(json.dumps, values)
        alone = _schema_of_value(value, new.get("pattern"))
        if not _same_type(alone, new) or any(_narrowed_bounds(alone, new)):
            return False
        return not any(self._other_keywords(alone, new))

    def _other_keywords(self, old: Schema, new: Schema) -> Iterator[str]:
        """Return the constraints that are not compared in parts, and are not the same."""
        for name in sorted(new.keys() - _COMPARED - _ANNOTATIONS):
            if name not in old:
                yield f"{name} {json.dumps(new[name])} is new"
            elif _inlined(old[name], self.old) != _inlined(new[name], self.new):
                yield f"{name} {json.dumps(new[name])} is another"

    def _fields(
        self, old: Schema, new: Schema, where: str, compared: frozenset[tuple[str, str]]
    ) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        once, now = set(old.get("required", ())), set(new.get("required", ()))
        others = old.get("additionalProperties", True)
        for name in before | after | dict.fromkeys(sorted(now)):
            path = f"{where}.{name}" if where else name
            if name in before.keys() - after.keys():
                yield _line(path, "the field is gone")
            elif name in now - once:
                yield _line(path, f"the field is required{' now' if name in before else ' and new'}")
            elif name in before:
                yield from self.differences(before[name], after[name], path, compared)
                if name not in once:
                    fields = _schema(before[name]), _schema(after[name])
                    yield from (_line(path, text) for text in _changed_default(*fields))
            elif isinstance(others, Mapping) and name in after:
                yield from self.differences(others, after[name], path, compared)
        allowed = new.get("additionalProperties", True)
        if allowed is False and others is not False:
            yield _line(where, "other fields are no longer allowed")
        elif isinstance(allowed, Mapping) and others is not False:
            yield from self.differences(others, allowed, f"{where}.*", compared)


def _line(where: str, text: str) -> str:
    return f"{where or 'the event'}: {text}"


def _schema(schema: AnySchema) -> Schema:
    return _ANYTHING if schema is True else {"enum": []} if schema is False else schema


def _resolved(schema: Schema, document: Schema) -> Schema:
    while "$ref" in schema:
        target = document["$defs"][schema["$ref"].removeprefix(REFERENCE)]
        schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
    return schema


def _inlined(part: Any, document: Schema, around: frozenset[str] = frozenset()) -> Any:
    """Return a part of a document without annotations, and with its references replaced."""
    if isinstance(part, list):
        return [_inlined(each, document, around) for each in part]
    if not isinstance(part, Mapping):
        return json.dumps(part)  # 1 and true are equal in Python
    reference = part.get("$ref")
    if reference is not None and reference not in around:
        return _inlined(_resolved(part, document), document, around | {reference})
    return {name: _inlined(each, document, around) for name, each in part.items() if name not in _ANNOTATIONS}


def _branches(schema: Schema) -> list[Schema] | None:
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return [_schema(branch) for branch in schema[union]]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": each} for each in schema["type"]]
    return None


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return [None] if schema.get("type") == "null" else schema.get("enum")


def _schema_of_value(value: Any, pattern: str | None) -> Schema:
    """Return the narrowest schema that allows a value, with the pattern if the value matches it."""
    schema: dict[str, Any] = {"type": _TYPES.get(type(value), "object")}
    match value:
        case str():
            schema |= {"minLength": len(value), "maxLength": len(value)}
            if pattern is not None and re.search(pattern, value):
                schema["pattern"] = pattern
        case bool() | None:
            pass
        case int() | float():
            schema |= {"minimum": value, "maximum": value}
            schema |= {"exclusiveMinimum": nextafter(value, -inf), "exclusiveMaximum": nextafter(value, inf)}
    return schema


def _same_type(old: Schema, new: Schema) -> bool:
    wider = {None, old.get("type"), "number" if old.get("type") == "integer" else None}
    return new.get("type") in wider


def _narrowed_bounds(old: Schema, new: Schema) -> Iterator[str]:
    for name in (*_LOWER_BOUNDS, *_UPPER_BOUNDS):
        before, after = old.get(name, _LOWER_BOUNDS.get(name)), new.get(name)
        if after is None or after == before:
            continue
        if before is None:
            yield f"{name} {after} is new"
        elif (after > before) == (name in _LOWER_BOUNDS):
            yield f"{name} {after} is narrower than {before}"


def _changed_default(old: Schema, new: Schema) -> Iterator[str]:
    before, after = (json.dumps(each["default"]) if "default" in each else "none" for each in (old, new))
    if before != after:
        yield f"the default of records without the field was {before} and is {after}"
