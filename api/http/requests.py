"""Parsing of a request: its path, its query string, and the command that it carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.requests import Request

from api.commands.idempotency import CommandKey, command_key
from api.commands.requests import Applied, Pending
from api.commands.task_actions import Terms
from api.http.dependencies import caller_of, dependencies_of
from api.http.headers import Preference, if_match, if_none_match, preference, traceparent
from api.http.problems import correlation_id_of
from api.http.query import Query
from app.deciders import AnyCommand
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
    names = model.model_fields
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
        found = model.model_validate(values)
    except ValidationError as error:
        raise invalid(error) from None
    _check_storable(values)
    return found


def _check_storable(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if "\x00" in "".join(value):
            raise Invalid([FieldError(name, "must not contain the character U+0000")])


def key_of(request: Request, body: Mapping[str, Any]) -> CommandKey | None:
    """Return the key of the command from `Idempotency-Key`, if present. Raise `Malformed`."""
    path, parameters = request.url.path, sorted(request.query_params.multi_items())
    return command_key(
        caller_of(request).user,
        request.headers.get("idempotency-key"),
        method=request.method,
        path=f"{path}?{urlencode(parameters)}" if parameters else path,
        body=body,
    )


async def carry_out(
    request: Request, command: AnyCommand, stream: str, key: CommandKey | None
) -> tuple[Applied | Pending, Preference]:
    """Carry out a command as the request's headers specify."""
    wanted = preference_of(request)
    command_request = terms_of(request, wanted, key).to_request(command, stream)
    return await dependencies_of(request).commands.handle(command_request), wanted


def preference_of(request: Request) -> Preference:
    """Return the caller's preferences, such as how long to wait for an outcome."""
    return preference(request, dependencies_of(request).settings.command_wait_ms / 1000)


def terms_of(request: Request, wanted: Preference, key: CommandKey | None) -> Terms:
    """Return the caller and the conditions of the request's command."""
    return Terms(
        user=caller_of(request).user,
        wait_s=wanted.wait_s,
        if_match=if_match(request, strict=wanted.strict),
        if_none_match=if_none_match(request),
        key=key,
        correlation_id=correlation_id_of(request),
        traceparent=traceparent(request),
    )
