"""Responses: JSON with headers that state its version and its position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import (
    BaseModel,
    TypeAdapter,
)
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.commands.requests import Applied, Pending
from api.http.dependencies import dependencies_of
from api.http.headers import Preference
from app.log.fold import State
from app.log.updates import state_json
from app.positions import Position, Positions, format_positions, positions_to_json


class WrittenOut(BaseModel):
    """An event that is written and not yet visible; `Location` is the address of its outcome."""

    position: str
    outcome: Literal["pending"] = "pending"


OUTCOMES_PATH = "/api/outcomes"


def json_answer(
    body: bytes,
    *,
    status: int = 200,
    version: int | None = None,
    positions: Positions | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a JSON response, with `ETag` for a version and `Tasktape-Position` for positions."""
    response = Response(body, status_code=status, media_type="application/json", headers=headers)
    if version is not None:
        response.headers["ETag"] = f'"{version}"'
    if positions:
        response.headers["Tasktape-Position"] = format_positions(positions)
    return response


def object_answer(value: object, *, status: int = 200, positions: Positions | None = None) -> Response:
    """Return a response with a value serialized as JSON."""
    body = TypeAdapter(type(value)).dump_json(value)
    return json_answer(body, status=status, positions=positions)


def state_answer(state: State, positions: Positions) -> Response:
    """Return a response with one task or list."""
    return json_answer(state_json(state), version=state.version, positions=positions)


def page_answer(
    items: Sequence[bytes], next_cursor: str | None, positions: Positions | None = None
) -> Response:
    """Return a page of a collection, of items that are serialized already."""
    body = b'{"items":[%s],"next_cursor":%s' % (b",".join(items), to_json(next_cursor))
    if positions is not None:
        body += b',"positions":%s' % to_json(positions_to_json(positions))
    return json_answer(body + b"}", positions=positions)


def command_answer(
    request: Request,
    result: Applied | Pending,
    wanted: Preference,
    *,
    status: int = 200,
    location: str | None = None,
    positions: Positions | None = None,
) -> Response:
    """Return the response to a command; 202 if its outcome is not known yet.

    `positions` are those of all events that were written, if there may be more than one.
    """
    match result:
        case Applied(body=body, version=version, position=position):
            # A command that had nothing left to do wrote nothing: answer with the positions visible before
            # it.
            visible = (
                dependencies_of(request).outcomes.reached if position is None else positions or _one(position)
            )
            answer = _effect_answer(body, version, visible, status)
            if location is not None:
                answer.headers["Location"] = location
            if body != b"null" and status != 204:
                answer.headers["Content-Location"] = _shown_at(request, location)
        case Pending(position=position):
            answer = json_answer(
                to_json({"position": str(position), "outcome": "pending"}),
                status=202,
                positions=positions or _one(position),
            )
            answer.headers["Location"] = f"{OUTCOMES_PATH}/{position}"
    if wanted.applied is not None:
        answer.headers["Preference-Applied"] = wanted.applied
    return answer


def _effect_answer(body: bytes, version: int, positions: Positions, status: int) -> Response:
    if status != 204:
        return json_answer(body, status=status, version=version, positions=positions)
    answer = Response(status_code=204)
    if positions:
        answer.headers["Tasktape-Position"] = format_positions(positions)
    return answer


def _shown_at(request: Request, location: str | None) -> str:
    """Return the address of the task or list in the response to a command."""
    path = request.scope["path"] if location is None else location
    return "/".join(path.split("/")[:4])


def _one(position: Position) -> dict[int, int]:
    return {position.partition: position.offset}
