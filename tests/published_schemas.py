"""The published JSON Schemas of events, in `schemas/`, and checks of events by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from pydantic import TypeAdapter, ValidationError

from app.bounds import Instant
from app.log.records import EVENT_TYPES, Event, event_data_json

FOLDER = Path(__file__).parents[1] / "schemas"
INSTANT: TypeAdapter[Any] = TypeAdapter(Instant)
FORMATS = FormatChecker(formats=())

_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
)


@FORMATS.checks("date-time", raises=ValidationError)
def _is_instant(value: object) -> bool:
    """Check a format as the decoder does, because JSON Schema only hints at it."""
    return not isinstance(value, str) or bool(INSTANT.validate_json(json.dumps(value), strict=True))


def published() -> dict[str, dict[str, Any]]:
    """Return every published schema, by its `$id`."""
    schemas = (json.loads(path.read_text()) for path in FOLDER.glob("*/*.json"))
    return {schema["$id"]: schema for schema in schemas}


def validator_of(schema: Mapping[str, Any]) -> Validator:
    """Return a validator that takes no `1.0` for an integer, and checks formats, as the decoder does."""
    made: Validator = _Validator(schema, format_checker=FORMATS)
    return made


VALIDATORS: Mapping[str, Validator] = {name: validator_of(schema) for name, schema in published().items()}


def check_published(event: Event) -> Event:
    """Return an event whose data is valid by its published schema. Raise `ValidationError`."""
    data = json.loads(event_data_json(event))
    VALIDATORS[EVENT_TYPES[event.type].dataschema].validate(data)
    return event
