"""The audit over HTTP: pages of events by filters, and their counts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.history import AuditEvent
from api.http.audit_access import reader_of, record_access
from api.http.audit_parameters import audit_parameters, with_filters
from api.http.cursors import decode_cursor, encode_cursor
from api.http.dependencies import dependencies_of
from api.http.query import PageQuery
from api.http.responses import json_answer, page_answer
from api.http.routing import Endpoint
from app.audit.descriptions import described_json
from app.audit.groups import GROUPS, read_group
from app.audit.query import DEFAULT_SORT, SORTS, AuditQuery, read_sort
from app.audit.story import story_json, trees_of
from app.errors import FieldError, Invalid
from app.positions import positions_to_json
from app.values import TimeZone
from app.zones import zone
from projections.audit_search.orders import Place

SORT_DESCRIPTION = (
    "The order: by the time of the event, by the time when the log recorded it, or by position. A leading"
    f" minus means descending. {', '.join(f'`{sort}`' for sort in SORTS)}"
)


class AuditPageQuery(PageQuery):
    """A page of events, or their counts."""

    sort: str = Field(DEFAULT_SORT, description=SORT_DESCRIPTION)
    group_by: str | None = Field(
        None, description=f"Count the events by this instead: {', '.join(f'`{group}`' for group in GROUPS)}"
    )
    view: Literal["tree"] | None = Field(
        None,
        description="`tree` returns all events of one `correlation_id`, each below the event that caused it",
    )
    time_zone: TimeZone = Field("UTC", description="Time zone of the hours, days and weeks in `group_by`")


class AuditPageOut(BaseModel):
    """Events in order, and the positions they were read at."""

    items: list[AuditEvent]
    next_cursor: str | None
    positions: dict[str, int]


class StoryNotification(BaseModel):
    """A notification that a user got for an event."""

    user: str
    kind: str


class StoryEvent(AuditEvent):
    """An event of a story, with its notifications, and the events that it caused."""

    notifications: list[StoryNotification] = Field(description="Who was notified of it")
    effects: list[StoryEvent] = Field(description="The events that it caused")


class StoryCommand(BaseModel):
    """The first command of a story."""

    actor: str | None
    source: str | None
    time: datetime | None


class StoryOut(BaseModel):
    """The events of one correlation id as trees, in the order of recording."""

    correlation_id: str
    command: StoryCommand | None = Field(description="Null if the caller sees no event of it")
    events: list[StoryEvent]
    truncated: bool = Field(description="True if there are more events than a story has, 1,000")
    positions: dict[str, int]


class AuditGroupOut(BaseModel):
    """A group of events."""

    key: str | None
    count: int


class AuditCountsOut(BaseModel):
    """Numbers of events: the largest groups first, or the periods in order."""

    groups: list[AuditGroupOut]
    truncated: bool
    positions: dict[str, int]


_Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_END: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[_Number, _Number])


async def audit_events(request: Request) -> Response:
    """GET /api/audit/events."""
    query, page = audit_parameters(request, AuditPageQuery)
    if page.group_by is not None:
        return await _counts(request, query, page)
    if page.view is not None:
        return await _story(request, query, page)
    sort = read_sort(page.sort)
    fingerprint = f"audit {sort} {urlencode(query.parameters())}"
    after = None if page.cursor is None else Place(*decode_cursor(fingerprint, page.cursor, _END))
    await record_access(request, query, "query")
    found = await dependencies_of(request).audit_events.page(
        query, reader_of(request), sort, after=after, limit=page.limit
    )
    end = None if found.end is None else encode_cursor(fingerprint, list(found.end))
    return page_answer([described_json(*each) for each in found.items], end, found.positions)


async def _counts(request: Request, query: AuditQuery, page: AuditPageQuery) -> Response:
    if page.cursor is not None:
        raise Invalid([FieldError("cursor", "counts have one page")])
    group = read_group(page.group_by or "", query)
    await record_access(request, query, "count")
    found = await dependencies_of(request).audit_events.counts(
        query, reader_of(request), group, zone(page.time_zone)
    )
    body = b'{"groups":%s,"truncated":%s,"positions":%s}' % (
        to_json(found.groups),
        to_json(found.truncated),
        to_json(positions_to_json(found.positions)),
    )
    return json_answer(body, positions=found.positions)


async def _story(request: Request, query: AuditQuery, page: AuditPageQuery) -> Response:
    if len(query.correlation_ids) != 1 or page.cursor is not None:
        raise Invalid([FieldError("view", "tree needs one correlation_id, and has one page")])
    await record_access(request, query, "query")
    found = await dependencies_of(request).audit_events.story(query, reader_of(request))
    events = {each.event.position: described_json(*each) for each in found.events}
    trees = trees_of([each.event for each in found.events])
    first = None if not trees else trees[0].event
    body = b'{"correlation_id":%s,"command":%s,"events":%s,"truncated":%s,"positions":%s}' % (
        to_json(query.correlation_ids[0]),
        to_json(first and StoryCommand(actor=first.actor, source=first.source, time=first.time)),
        story_json(trees, events, found.notified),
        to_json(found.truncated),
        to_json(positions_to_json(found.positions)),
    )
    return json_answer(body, positions=found.positions)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/audit/events",
        audit_events,
        "Find events of the log by filters, in an order, or count them",
        "audit",
        query=with_filters(AuditPageQuery),
        answers={200: AuditPageOut | AuditCountsOut | StoryOut},
    ),
)
