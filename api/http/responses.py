"""Responses: JSON with headers that state its version and its position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import (
    TypeAdapter,
)
from pydantic_core import to_json
from starlette.responses import Response

from app.log.fold import State
from app.log.updates import state_json
from app.positions import Positions, format_positions, positions_to_json


def json_answer(
    body: bytes,
    *,
    status: int = 200,
    version: int | None = None,
    positions: Positions | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a JSON response, with `ETag` for a version and `Tasktape-Position` for positions."""
    complete = dict(headers or {})
    if version is not None:
        complete["ETag"] = f'"{version}"'
    if positions:
        complete["Tasktape-Position"] = format_positions(positions)
    return Response(body, status_code=status, media_type="application/json", headers=complete)


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
