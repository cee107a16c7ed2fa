"""The caller, and the outcome of an event by its position."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import asyncpg
from pydantic import (
    BaseModel,
    Field,
)
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.health import _Became, _became
from api.endpoints.history import Event, event_with_changes
from api.endpoints.notifications import _UNREAD
from api.http.commands import OUTCOMES_PATH
from api.http.dependencies import Dependencies, caller_of, dependencies_of
from api.http.query import Query
from api.http.requests import path_position, query_of
from api.http.responses import json_answer, object_answer
from api.http.routing import Endpoint
from app.errors import NotFound
from app.ids import inbox_id
from app.lists.state import TaskList
from app.positions import Position
from app.tasks.state import Task


class OutcomeOut(BaseModel):
    """The outcome of a written event; `event` and the state after it are present unless it is pending.

    `position` differs from the requested one if the event was parked there and folded later.
    """

    position: str
    outcome: Literal["pending", "accepted", "superseded", "parked", "skipped"]
    waits_for: str | None = None
    event: Event | None = None
    task: Task | None = None
    list: TaskList | None = None


class Me(BaseModel):
    """The caller."""

    user: str
    admin: bool
    inbox_id: str
    expires_at: datetime
    unread: int = Field(description=_UNREAD)


async def me(request: Request) -> Response:
    """GET /api/me."""
    query_of(request, Query)
    caller = caller_of(request)
    expires_at = datetime.fromtimestamp(caller.expires_at, UTC)
    return object_answer(
        Me(
            user=caller.user,
            admin=caller.admin,
            inbox_id=inbox_id(caller.user),
            expires_at=expires_at,
            unread=await dependencies_of(request).notifications.unread(caller.user),
        )
    )


async def outcome(request: Request) -> Response:
    """GET /api/outcomes/{position}: return the outcome of a written event."""
    query_of(request, Query)
    deps = dependencies_of(request)
    position = path_position(request)
    row = await deps.audit.at(position)
    if row is None:
        ends = await deps.log.ends()
        if position.offset >= ends.get(position.partition, 0):
            raise NotFound("the log has no such position")
        return json_answer(
            to_json({"position": str(position), "outcome": "pending"}),
            status=202,
            headers={"Location": f"{OUTCOMES_PATH}/{position}", "Retry-After": "1"},
        )
    if not await _may_see(request, deps, row):
        raise NotFound("the log has no such position")
    became = await _became(deps, row)
    row, position = became.row, Position(became.row["partition"], became.row["offset"])
    return json_answer(
        _outcome(became, position),
        version=row["version"] if became.outcome == "accepted" else None,
        positions={position.partition: position.offset},
    )


async def _may_see(request: Request, deps: Dependencies, row: asyncpg.Record) -> bool:
    caller = caller_of(request)
    if caller.admin or row["actor"] == caller.user:
        return True
    kind, _, key = (row["stream"] or "").partition(":")
    match kind:
        case "task":
            return await deps.tasks.may_see(caller.user, key)
        case "list":
            return await deps.lists.may_see(caller.user, key)
        case _:
            return False


def _outcome(became: _Became, position: Position) -> bytes:
    row = became.row
    state = b"null" if row["gone"] else row["state"].encode()
    kind = (row["stream"] or "").partition(":")[0]
    return b'{"position":%s,"outcome":%s,"waits_for":%s,"event":%s,"task":%s,"list":%s}' % (
        to_json(str(position)),
        to_json(became.outcome),
        b"null" if became.waits_for is None else to_json(str(became.waits_for)),
        event_with_changes(row),
        state if kind == "task" else b"null",
        state if kind == "list" else b"null",
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/me", me, "Get the caller", "caller", query=Query, answers={200: Me}),
    Endpoint(
        "GET",
        "/api/outcomes/{position}",
        outcome,
        "Get the outcome of a written event; 202 while it is pending",
        "caller",
        query=Query,
        answers={200: OutcomeOut, 202: OutcomeOut},
    ),
)
