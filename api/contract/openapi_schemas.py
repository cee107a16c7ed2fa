"""JSON schemas of the request and response types of endpoints, each under one name.

Code generators make a class of each name and each title, so both are unique, and no field has a title.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from api.contract.json_schemas import UntitledFields
from api.contract.openapi_fields import described
from api.http.commands import WrittenOut
from api.http.problems import Problem
from api.http.routing import Endpoint

REF = "#/components/schemas/{model}"


_KINDS = frozenset({"properties", "oneOf"})


class Schemas:
    """The schemas that the endpoints use."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        inputs: list[tuple[Any, JsonSchemaMode]] = [(e.body, "validation") for e in endpoints if e.body]
        outputs: list[tuple[Any, JsonSchemaMode]] = [
            (answer, "serialization")
            for e in endpoints
            for answer in e.answers.values()
            if answer is not None
        ]
        used = dict.fromkeys([*inputs, *outputs, (Problem, "serialization"), (WrittenOut, "serialization")])
        self._found, definitions = TypeAdapter.json_schemas(
            [(used_as, mode, TypeAdapter(used_as)) for used_as, mode in used],
            ref_template=REF,
            schema_generator=UntitledFields,
        )
        components: dict[str, Any] = definitions.get("$defs", {})
        _name_inline_models(components)
        for endpoint in endpoints:
            if endpoint.method == "PATCH":
                _without_defaults(components[endpoint.body.__name__])
        for name, schema in components.items():
            schema["title"] = name
            for field, each in schema.get("properties", {}).items():
                described(name, field, each)
        self.components = dict(sorted(components.items()))

    def of(self, used_as: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        """Return the schema of a type, usually a reference."""
        return dict(self._found[used_as, mode])


def query_schemas(query: Any) -> dict[str, dict[str, Any]]:
    """Return the schema of each parameter of a query string."""
    found = TypeAdapter(query).json_schema(schema_generator=UntitledFields)["properties"]
    return {name: _not_null(schema) for name, schema in found.items()}


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without null, which no query string can hold."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if rest.get("default", ...) is None:
        del rest["default"]
    merged: dict[str, Any] = {**kinds[0], **rest}
    return merged


def _without_defaults(schema: dict[str, Any]) -> None:
    """Remove the defaults of a merge patch, in which an absent field stays as it is."""
    for field in schema["properties"].values():
        field.pop("default", None)


def _name_inline_models(components: dict[str, Any]) -> None:
    """Move each inline model to its own component."""
    for schema in list(components.values()):
        for model in list(_inline_models(schema)):
            name = model["title"]
            components.setdefault(name, dict(model))
            model.clear()
            model["$ref"] = REF.format(model=name)


def _inline_models(schema: Any) -> Iterator[dict[str, Any]]:
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for child in children:
        yield from _inline_models(child)
        if isinstance(child, dict) and isinstance(child.get("title"), str) and _KINDS & child.keys():
            yield child
