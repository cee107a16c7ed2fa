"""The caller, outcomes by position, and the health of the process."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.answers import OUTCOMES_PATH, json_answer, object_answer
from api.asking import path_position, query_of
from api.edge import Edge, caller_of, edge_of
from api.histories import event_with_changes
from api.metrics import CONTENT_TYPE, text_of
from api.projection_metrics import read_projection_metrics
from api.readiness import find_readiness
from api.schemas import Health, Me, Query, ReadinessQuery
from app.errors import NotFound
from app.ids import inbox_id
from app.positions import Position


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
            unread=await edge_of(request).notifications.unread(caller.user),
        )
    )


async def outcome(request: Request) -> Response:
    """GET /api/outcomes/{position}: what became of an event that its author was told is written."""
    query_of(request, Query)
    edge = edge_of(request)
    position = path_position(request)
    row = await edge.audit.at(position)
    if row is None:
        ends = await edge.log.ends()
        if position.offset >= ends.get(position.partition, 0):
            raise NotFound("the log has no such position")
        return json_answer(
            to_json({"position": str(position), "outcome": "pending"}),
            status=202,
            headers={"Location": f"{OUTCOMES_PATH}/{position}", "Retry-After": "1"},
        )
    if not await _may_see(request, edge, row):
        raise NotFound("the log has no such position")
    return json_answer(
        _outcome(row, position),
        version=row["version"] if row["outcome"] == "accepted" else None,
        positions={position.partition: position.offset},
    )


async def _may_see(request: Request, edge: Edge, row: asyncpg.Record) -> bool:
    caller = caller_of(request)
    if caller.admin or row["actor"] == caller.user:
        return True
    kind, _, key = (row["stream"] or "").partition(":")
    match kind:
        case "task":
            return await edge.tasks.may_see(caller.user, key)
        case "list":
            return await edge.lists.may_see(caller.user, key)
        case _:
            return False


def _outcome(row: asyncpg.Record, position: Position) -> bytes:
    state = b"null" if row["gone"] else row["state"].encode()
    kind = (row["stream"] or "").partition(":")[0]
    return b'{"position":%s,"outcome":%s,"event":%s,"task":%s,"list":%s}' % (
        to_json(str(position)),
        to_json(row["outcome"]),
        event_with_changes(row),
        state if kind == "task" else b"null",
        state if kind == "list" else b"null",
    )


async def healthz(request: Request) -> Response:
    """GET /healthz: the process answers."""
    query_of(request, Query)
    return object_answer(Health())


async def readyz(request: Request) -> Response:
    """GET /readyz: the process can serve, and what is written now is visible at once."""
    query = query_of(request, ReadinessQuery)
    readiness = await find_readiness(edge_of(request), lag_allowed=query.lag == "any")
    return object_answer(readiness, status=200 if readiness.ready else 503)


async def metrics(request: Request) -> Response:
    """GET /metrics: what this process has counted, and how projecting stands."""
    query_of(request, Query)
    edge = edge_of(request)
    projecting = await read_projection_metrics(edge)
    # Read here, where nothing changes meanwhile; written elsewhere, as sockets wait for this loop.
    text = await asyncio.to_thread(text_of, [*edge.metrics.read(), *projecting])
    return Response(text, headers={"Content-Type": CONTENT_TYPE})
