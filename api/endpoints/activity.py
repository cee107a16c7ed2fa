"""The activity feed over HTTP: events in the caller's lists, in groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
)
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.lists import unseen_list
from api.http.cursors import Offset, Partition, Time, decode_cursor, encode_cursor
from api.http.dependencies import caller_of, dependencies_of
from api.http.query import PageQuery, UserFilter
from api.http.requests import query_of
from api.http.responses import page_answer
from api.http.routing import Endpoint
from app.activity import Group, summary
from app.log.event_json import envelope_of
from app.positions import Position
from app.stream_ids import NO_STREAM
from app.text.graphemes import shortened
from app.values import (
    ListId,
)
from projections.queries.activity import EVENTS_SHOWN, Cut, FeedEvent, Place


class ActivityQuery(PageQuery):
    """A selection of activity: by list, by actor."""

    list_id: ListId | None = Field(None, description="Events in this list only")
    actor: UserFilter | None = Field(
        None, description="Events of this user only, in the lists that you can see"
    )


class ActivityEvent(BaseModel):
    """An event in the feed; long values are shortened."""

    id: str
    type: str
    stream: str
    version: int
    position: str = Field(examples=["0:121"])
    task_id: str | None
    title: str = Field(description="Title of the task or list after the event")
    time: datetime = Field(description="Time of the event")
    recorded_at: datetime = Field(description="Time when the log recorded it")
    actor: str
    data: dict[str, Any]
    changes: dict[str, tuple[Any, Any]] = Field(description="Field → value before and after")


class ActivityGroup(BaseModel):
    """Events of one type by one user in one list within one hour."""

    summary: str = Field(examples=["alice completed 5 tasks"])
    actor: str
    type: str = Field(description="An event type, or one of the feed's own", examples=["task.completed"])
    list_id: str
    count: int = Field(description="Number of events")
    task_count: int = Field(description="Number of tasks")
    task_ids: list[str] = Field(description="Ids of the tasks, at most 50")
    first_at: datetime
    last_at: datetime
    events: list[ActivityEvent] = Field(description="The newest events, at most 5, newest first")


class ActivityOut(BaseModel):
    """Groups, newest first, and the positions they were read at; there may be fewer than requested."""

    items: list[ActivityGroup]
    next_cursor: str | None
    positions: dict[str, int]


TASK_IDS_SHOWN = 50
LONGEST_TEXT = 200
MOST_PARTS = 20
"""Limits of events in the feed; longer values are shortened. A task's history has them in full."""
_END: TypeAdapter[tuple[list[tuple[int, int]], Place | None]] = TypeAdapter(
    tuple[list[tuple[Partition, Offset]], tuple[Time, int, Offset] | None]
)


async def activity(request: Request) -> Response:
    """GET /api/activity."""
    query = query_of(request, ActivityQuery)
    fingerprint = f"activity {query.model_dump_json(exclude={'cursor', 'limit'})}"
    page = await dependencies_of(request).activity.page(
        caller_of(request).user,
        list_id=query.list_id,
        actor=query.actor,
        start=None if query.cursor is None else _read_cursor(fingerprint, query.cursor),
        limit=query.limit,
    )
    if page is None:
        raise await unseen_list(request, query.list_id or "")
    items = [to_json(group_json(group, page.shown)) for group in page.groups]
    end = None if page.end is None else _cursor(fingerprint, page.end)
    return page_answer(items, end, page.positions)


def _cursor(fingerprint: str, end: Cut) -> str:
    after = None if end.after is None else [end.after[0].isoformat(), *end.after[1:]]
    return encode_cursor(fingerprint, [list(end.below.items()), after])


def _read_cursor(fingerprint: str, cursor: str) -> Cut:
    below, after = decode_cursor(fingerprint, cursor, _END)
    return Cut(dict(below), after)


def group_json(group: Group, shown: Mapping[Position, FeedEvent]) -> dict[str, Any]:
    """Return the JSON of a group, with its newest events."""
    task_ids, newest = group.task_ids, group.entries[0]
    events = [shown[entry.position] for entry in group.entries[:EVENTS_SHOWN]]
    n = len(task_ids) or len(group.entries)
    return {
        "summary": summary(
            group.type, group.actor, n=n, title=events[0].title, data=from_json(events[0].event.data)
        ),
        "actor": group.actor,
        "type": group.type,
        "list_id": group.list_id,
        "count": len(group.entries),
        "task_count": len(task_ids),
        "task_ids": task_ids[:TASK_IDS_SHOWN],
        "first_at": group.entries[-1].at,
        "last_at": newest.at,
        "events": [_event(each) for each in events],
    }


def _event(shown: FeedEvent) -> dict[str, Any]:
    event = shown.event
    stream = event.stream or NO_STREAM
    fields = {
        **envelope_of(event),
        "task_id": stream.key if stream.kind == "task" else None,
        "title": shown.title,
        "data": _brief(from_json(event.data)),
        "changes": _brief(from_json(event.changes)),
    }
    return {name: fields[name] for name in ActivityEvent.model_fields}


def _brief(value: Any) -> Any:
    """Return the value with its long parts shortened."""
    if isinstance(value, str):
        return shortened(value, LONGEST_TEXT)
    if isinstance(value, list):
        return [_brief(each) for each in value[:MOST_PARTS]]
    if isinstance(value, dict):
        return {name: _brief(each) for name, each in islice(value.items(), MOST_PARTS)}
    return value


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/activity",
        activity,
        "List the activity in your lists, in groups, newest first",
        "activity",
        query=ActivityQuery,
        answers={200: ActivityOut},
    ),
)
