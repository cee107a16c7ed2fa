"""Rules for the OpenAPI document beyond its specification, for generators and readers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any


def faults(document: Mapping[str, Any]) -> list[str]:
    """Return the faults of the document, one line each."""
    return [
        *_ambiguous_names(document),
        *_bad_schemas(document),
        *_undescribed(document),
        *_bad_operations(document),
    ]


def _ambiguous_names(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield names that differ only in case and punctuation: generators would make one class of them."""
    names = Counter(_normal(name) for name in document["components"]["schemas"])
    names.update(
        _normal(schema["title"])
        for name, schema in document["components"]["schemas"].items()
        if _normal(schema["title"]) != _normal(name)
    )
    for name, times in names.items():
        if times > 1:
            yield f"schemas: {times} have a name or a title like {name!r}"


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _bad_schemas(document: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        for path, each in _within(schema, name):
            if (
                isinstance(each.get("title"), str)
                and path != name
                and "properties" not in path.split("/")[-1:]
            ):
                yield f"{path}: a title makes another class; only components have one"
            for field, value in each.get("properties", {}).items():
                if value.get("type") == "null":
                    yield f"{path}/{field}: null alone is no type to generators"


def _within(schema: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(schema, dict):
        yield path, schema
        for key, value in schema.items():
            if key not in ("examples", "example", "default"):
                yield from _within(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for value in schema:
            yield from _within(value, path)


def _undescribed(document: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        if not schema.get("description"):
            yield f"{name}: no description"
        for field, each in schema.get("properties", {}).items():
            if not each.get("description"):
                yield f"{name}.{field}: no description; see api/contract/openapi_fields.py"
    for name, parameter in document["components"]["parameters"].items():
        if not parameter.get("description"):
            yield f"parameter {name}: no description"
    for tag in document["tags"]:
        if not tag["description"]:
            yield f"tag {tag['name']}: no description"


def _bad_operations(document: Mapping[str, Any]) -> Iterator[str]:
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    ids = Counter(_normal(operation["operationId"]) for _, operation in operations)
    for where, operation in operations:
        if ids[_normal(operation["operationId"])] > 1:
            yield f"{where}: another operation has its operationId"
        for parameter in operation["parameters"]:
            if "$ref" not in parameter and not parameter["description"]:
                yield f"{where}: the parameter {parameter['name']} has no description"
