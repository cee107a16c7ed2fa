"""The caller, and the outcome of an event by its position."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import (
    BaseModel,
    Field,
)
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.history import Event
from api.endpoints.notifications import _UNREAD
from api.http.commands import OUTCOMES_PATH
from api.http.dependencies import Dependencies, caller_of, dependencies_of
from api.http.query import Query
from api.http.requests import path_position, query_of
from api.http.responses import json_answer, object_answer
from api.http.routing import Endpoint
from api.http.visibility import may_see
from app.errors import NotFound
from app.ids import inbox_id
from app.lists.state import TaskList
from app.log.event_json import RecordedEvent, event_json, task_and_list
from app.positions import Position
from app.tasks.state import Task
from projections.queries.audit import AuditedEvent


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
    auditor: bool
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
            auditor=caller.auditor,
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
    written = await deps.audit.at(position)
    if written is None:
        ends = await deps.log.ends()
        if position.offset >= ends.get(position.partition, 0):
            raise NotFound("the log has no such position")
        return json_answer(
            to_json({"position": str(position), "outcome": "pending"}),
            status=202,
            headers={"Location": f"{OUTCOMES_PATH}/{position}", "Retry-After": "1"},
        )
    if not await _may_see(request, deps, written.event):
        raise NotFound("the log has no such position")
    settled = await _settlement(deps, written)
    event = settled.audited.event
    return json_answer(
        _outcome(settled),
        version=event.version if settled.outcome == "accepted" else None,
        positions={event.position.partition: event.position.offset},
    )


async def _may_see(request: Request, deps: Dependencies, event: RecordedEvent) -> bool:
    caller = caller_of(request)
    if caller.admin or event.actor == caller.user:
        return True
    return event.stream is not None and await may_see(deps, caller.user, event.stream)


@dataclass(frozen=True, slots=True)
class _Settlement:
    """The outcome of a written event, and the record it waits for if it is parked."""

    audited: AuditedEvent
    outcome: str
    waits_for: Position | None = None


async def _settlement(deps: Dependencies, written: AuditedEvent) -> _Settlement:
    """Follow a parked record to the copy that was folded instead; without a dead letter it was skipped."""
    if written.event.outcome != "parked":
        return _Settlement(written, written.event.outcome)
    copy = await deps.audit.last_copy(written.event)
    if copy is not None and copy.event.outcome != "parked":
        return _Settlement(copy, copy.event.outcome)
    for each in (copy, written):
        parked = None if each is None else await deps.dead_letters.one(each.event.position)
        if parked is not None:
            holder = None if parked.stream is None else await deps.dead_letters.holder(parked.stream)
            return _Settlement(written, "parked", holder)
    return _Settlement(written, "skipped")


def _outcome(settled: _Settlement) -> bytes:
    event, waits_for = settled.audited.event, settled.waits_for
    return b'{"position":%s,"outcome":%s,"waits_for":%s,"event":%s,"task":%s,"list":%s}' % (
        to_json(str(event.position)),
        to_json(settled.outcome),
        b"null" if waits_for is None else to_json(str(waits_for)),
        event_json(event),
        *task_and_list(event.stream, settled.audited.state),
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
