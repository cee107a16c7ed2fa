"""Parsing of a request: its path and its query string."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from starlette.requests import Request

from api.http.dependencies import dependencies_of
from api.http.query import Query
from app.errors import FieldError, Invalid, Malformed, NotFound
from app.ids import is_uuid
from app.positions import Position
from app.validation import invalid

Model = TypeVar("Model", bound=Query)


def path_id(request: Request, what: str) -> str:
    """Return the id in the path. Raise `NotFound` if it is not a valid id, as nothing has such an id."""
    identifier: str = request.path_params["id"]
    if not is_uuid(identifier):
        raise NotFound(f"no such {what}")
    return identifier


def path_position(request: Request) -> Position:
    """Return the position in the path. Raise `Malformed`, or `NotFound` for an unknown partition."""
    position = Position.parse(request.path_params["position"])
    if position.partition >= dependencies_of(request).log.partitions:
        raise NotFound("the log has no such position")
    return position


def query_of(request: Request, model: type[Model]) -> Model:
    """Parse the query string as `model`. Raise `Malformed` for unknown parameters, `Invalid` for values."""
    names = _parameters(model)
    unknown = sorted({name for name in request.query_params if name not in names})
    if unknown:
        raise Malformed(f"unknown parameter {', '.join(repr(name[:50]) for name in unknown[:10])}")
    values: dict[str, Any] = {}
    for name in request.query_params:
        given = request.query_params.getlist(name)
        repeatable = isinstance(names[name].default, tuple)
        if len(given) > 1 and not repeatable:
            raise Malformed(f"the parameter {name!r} is given twice")
        values[name] = tuple(given) if repeatable else given[0]
    try:
        found = model.model_validate(values) if values else cast("Model", _without_parameters(model))
    except ValidationError as error:
        raise invalid(error) from None
    _check_storable(values)
    return found


@cache
def _parameters(model: type[Query]) -> Mapping[str, FieldInfo]:
    """Return the fields of a model by the names of their parameters."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


@cache
def _without_parameters(model: type[Query]) -> Query:
    """Return the one result of a query string without parameters; models are immutable."""
    return model.model_validate({})


def _check_storable(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if "\x00" in "".join(value):
            raise Invalid([FieldError(name, "must not contain the character U+0000")])
