"""The caller, outcomes by position, and the health of the process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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
    became = await _became(edge, row)
    row, position = became.row, Position(became.row["partition"], became.row["offset"])
    return json_answer(
        _outcome(became, position),
        version=row["version"] if became.outcome == "accepted" else None,
        positions={position.partition: position.offset},
    )


@dataclass(frozen=True, slots=True)
class _Became:
    """What a written event came to: the row that says so, and which record it waits for if it is parked."""

    row: asyncpg.Record
    outcome: str
    waits_for: Position | None = None


async def _became(edge: Edge, row: asyncpg.Record) -> _Became:
    """Follow a parked record to the copy that was folded in its place; without a letter it was skipped."""
    if row["outcome"] != "parked":
        return _Became(row, row["outcome"])
    copy = await edge.audit.last_copy(row)
    if copy is not None and copy["outcome"] != "parked":
        return _Became(copy, copy["outcome"])
    for each in (copy, row):
        if each is None:
            continue
        letter = await edge.audit.dead_letter(Position(each["partition"], each["offset"]))
        if letter is not None:
            stream = letter["stream"]
            return _Became(row, "parked", None if stream is None else await edge.audit.holder(stream))
    return _Became(row, "skipped")


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
