"""Validation of external input: every fault with its field, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.errors import FieldError, Invalid
from app.values import UUID_PATTERN

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], body: Mapping[str, Any]) -> Model:
    """Validate the body as `model`. Raise `Invalid` with the faulty fields."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid(error) from None


MAX_FIELD_ERRORS = 50


def invalid(error: ValidationError, prefix: str = "") -> Invalid:
    """Convert errors of pydantic to field errors in plain words."""
    return Invalid(
        [
            FieldError(".".join([prefix, *_path(found["loc"])]).strip(".") or "body", _message(found))
            for found in error.errors(include_url=False, include_input=False)[:MAX_FIELD_ERRORS]
        ]
    )


def _path(location: tuple[int | str, ...]) -> list[str]:
    return [str(part)[:100].encode(errors="replace").decode() for part in location]


_PLAINLY = {
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "dict_type": "should be an object",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
}
"""Plain words for pydantic's messages that use words of Python, by the type of the error."""


def _message(found: Mapping[str, Any]) -> str:
    match found["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a field that can be set here"
        case "value_error":
            return str(found["ctx"]["error"])
        case "string_pattern_mismatch" if found["ctx"]["pattern"] == UUID_PATTERN:
            return "should be an id: a UUID in lower case"
        case "too_long" if "field_type" in found["ctx"]:
            return f"should have at most {found['ctx']['max_length']} items"
        case kind if kind in _PLAINLY:
            return _PLAINLY[kind]
        case _:
            text: str = found["msg"]
            return text.replace("Input should", "should", 1).replace("String should", "should", 1)
