"""JSON Schemas of all messages, one source for AsyncAPI and TypeScript."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from pydantic_core import core_schema

from api.contract.json_schemas import UntitledFields
from api.protocol.client_messages import Incoming
from api.protocol.update_messages import FromServer

REF = "#/components/schemas/{model}"
FROM_CLIENT: tuple[type[BaseModel], ...] = get_args(Incoming)
FROM_SERVER: tuple[type[BaseModel], ...] = get_args(FromServer)
_PLACES_OF_NAMES = frozenset({"properties", "$defs"})


class _Generate(UntitledFields):
    """Marks all fields of serialized models as required."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,  # noqa: FBT001
    ) -> bool:
        written = self.mode == "serialization" and field["type"] != "typed-dict-field"
        return written or super().field_is_required(field, total)


def message_schemas() -> dict[str, Any]:
    """Return the schemas by name, of the messages and all their parts, with tuples of JSON Schema draft 7."""
    found = {**_definitions(FROM_SERVER, "serialization"), **_definitions(FROM_CLIENT, "validation")}
    for model in (*FROM_SERVER, *FROM_CLIENT):
        _leave_nulls_out(found[model.__name__])
    return {name: _draft_7(schema) for name, schema in sorted(found.items())}


def type_of(model: type[BaseModel]) -> str:
    """Return the `type` of a message."""
    (name,) = get_args(model.model_fields["type"].annotation)
    return str(name)


def _definitions(models: tuple[type[BaseModel], ...], mode: JsonSchemaMode) -> Mapping[str, Any]:
    inputs = [(model, mode, TypeAdapter[Any](model)) for model in models]
    _, definitions = TypeAdapter.json_schemas(inputs, ref_template=REF, schema_generator=_Generate)
    return MappingProxyType(definitions["$defs"])


def _leave_nulls_out(schema: dict[str, Any]) -> None:
    """Require the type, and make fields absent that would be null by default."""
    properties = schema["properties"]
    absent = {name for name, field in properties.items() if field.get("default", ...) is None}
    for name in absent:
        field = properties[name]
        del field["default"]
        field["anyOf"] = [each for each in field["anyOf"] if each != {"type": "null"}]
        if len(field["anyOf"]) == 1:
            field.update(field.pop("anyOf")[0])
    required = {"type", *schema.get("required", ())} - absent
    schema["required"] = [name for name in properties if name in required]


def _draft_7(schema: Any, *, of_names: bool = False) -> Any:
    if isinstance(schema, list):
        return [_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        name: _draft_7(each, of_names=name in _PLACES_OF_NAMES and not of_names)
        for name, each in schema.items()
    }
    if not of_names and "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
    return found
