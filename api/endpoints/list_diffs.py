"""The difference of a list between two times, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.lists import unseen_list
from api.http.cursors import TIME_AND_ID, decode_cursor, encode_cursor
from api.http.dependencies import caller_of, dependencies_of
from api.http.query import Instant, PageQuery
from api.http.requests import path_id, query_of
from api.http.responses import json_answer
from api.http.routing import Endpoint
from app.errors import FieldError, Invalid
from app.log.event_json import changes_json
from app.log.updates import state_json
from app.tasks.state import Task
from projections.postgres.periods import Clock, Moment
from projections.queries.past_lists import DiffKind, DiffPage

KINDS: tuple[DiffKind, ...] = ("added", "removed", "moved", "changed")


class DiffQuery(PageQuery):
    """Two times of one clock; without a last one, now."""

    from_: Instant | None = Field(None, alias="from", description="The earlier time, RFC 3339")
    to: Instant | None = Field(None, description="The later time, RFC 3339; by default now")
    from_recorded_at: Instant | None = Field(
        None, description="The earlier time, as the log knew the list then; instead of `from`"
    )
    to_recorded_at: Instant | None = Field(
        None, description="The later time, as the log knew the list then; by default now"
    )


class DifferenceOut(BaseModel):
    """A task, and its changes."""

    task: Task = Field(description="The task at the later time; if it is removed, at the earlier one")
    changes: dict[str, tuple[Any, Any]] = Field(description="Field → value at the earlier and the later time")


class DiffOut(BaseModel):
    """A page of the tasks that differ, each once, in the order of their ids."""

    from_: datetime = Field(alias="from", description="The earlier time")
    to: datetime = Field(description="The later time")
    added: list[DifferenceOut] = Field(description="Tasks that were not there: created or restored")
    removed: list[DifferenceOut] = Field(description="Tasks that are no longer there")
    moved: list[DifferenceOut] = Field(
        description="Tasks whose rank or list differs, from or to a list that you see"
    )
    changed: list[DifferenceOut] = Field(description="Tasks of which only other fields differ")
    next_cursor: str | None


async def list_diff(request: Request) -> Response:
    """GET /api/lists/{id}/diff."""
    query, list_id = query_of(request, DiffQuery), path_id(request, "list")
    deps, user = dependencies_of(request), caller_of(request).user
    fingerprint = f"diff {list_id} {query.model_dump_json(exclude={'cursor', 'limit'})}"
    # "Now" stays the same from page to page.
    now, after = deps.clock(), ""
    if query.cursor is not None:
        now, after = decode_cursor(fingerprint, query.cursor, TIME_AND_ID)
    first, last = _moments(query, now)
    if not await deps.lists.may_see(user, list_id):
        raise await unseen_list(request, list_id)
    page = await deps.past_lists.diff(user, list_id, first, last, after=after, limit=query.limit)
    end = None if page.end is None else encode_cursor(fingerprint, [now, page.end])
    return json_answer(_body(page, first, last, end))


def _moments(query: DiffQuery, now: datetime) -> tuple[Moment, Moment]:
    """Return both moments. Raise `Invalid` if they are of two clocks or out of order."""
    by_event, by_record = (query.from_, query.to), (query.from_recorded_at, query.to_recorded_at)
    recorded = any(by_record)
    if recorded and any(by_event):
        raise Invalid([FieldError("from_recorded_at", "give times of events or recorded times, not both")])
    first, last = by_record if recorded else by_event
    names = ("from_recorded_at", "to_recorded_at") if recorded else ("from", "to")
    if first is None:
        raise Invalid([FieldError(names[0], "is required")])
    if last is None:
        last = max(now, first)
    if first > last:
        raise Invalid([FieldError(names[0], f"is after {names[1]}")])
    clock: Clock = "recorded" if recorded else "event"
    return Moment(first, clock), Moment(last, clock)


def _body(page: DiffPage, first: Moment, last: Moment, end: str | None) -> bytes:
    parts = [b'"from":' + to_json(first.time), b'"to":' + to_json(last.time)]
    for kind in KINDS:
        items = b",".join(
            b'{"task":%s,"changes":%s}' % (state_json(each.task), changes_json(each.changes))
            for each in page.items
            if each.kind == kind
        )
        parts.append(b'"%s":[%s]' % (kind.encode(), items))
    return b"{%s}" % b",".join([*parts, b'"next_cursor":' + to_json(end)])


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/lists/{id}/diff",
        list_diff,
        "Get what differs in a list between two times",
        "lists",
        query=DiffQuery,
        answers={200: DiffOut},
    ),
)
