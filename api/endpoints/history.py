"""Histories: the events of one stream, with the changes each made."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
)
from starlette.requests import Request
from starlette.responses import Response

from api.http.audit_access import reader_of
from api.http.cursors import Offset, decode_cursor, encode_cursor
from api.http.dependencies import dependencies_of
from api.http.query import PageQuery
from api.http.responses import page_answer
from app.audit.descriptions import described_json
from app.stream_ids import StreamId


class HistoryQuery(PageQuery):
    """A selection of events of a history."""

    outcome: Literal["accepted", "all"] = Field(
        "accepted", description="`all` includes events that lost a race and changed nothing"
    )


class Event(BaseModel):
    """An event of the log, with the changes it made."""

    id: str | None
    type: str | None
    stream: str | None
    version: int | None
    position: str = Field(examples=["0:121"])
    outcome: Literal["accepted", "superseded", "parked"]
    reason: str | None = Field(description="Reason why it is not accepted")
    time: datetime | None = Field(description="Time of the event")
    recorded_at: datetime = Field(description="Time when the log recorded it")
    actor: str | None
    source: str | None
    correlation_id: str | None
    causation_id: str | None
    data: Any
    changes: dict[str, tuple[Any, Any]] = Field(description="Field → value before and after")


class AuditEvent(Event):
    """An event of the log, with a sentence, and the differences of changed texts."""

    sentence: str = Field(
        description="The event in plain English", examples=["alice moved “Pay rent” from Doing to Done"]
    )
    diff: dict[str, list[tuple[Literal["=", "-", "+"], str]]] = Field(
        default_factory=dict,
        description="Changed text (`notes` or `comment`) → its parts in order: in both texts, only in the"
        " former one, only in the new one; absent if no text changed",
    )


class EventPageOut(BaseModel):
    """Events, in order."""

    items: list[AuditEvent]
    next_cursor: str | None


_PLACE = TypeAdapter(tuple[Offset])


async def history_answer(request: Request, stream: StreamId, query: HistoryQuery) -> Response:
    """Return a page of a stream's events, in order; the caller has checked access."""
    everything = query.outcome == "all"
    fingerprint = f"history {stream} {query.outcome}"
    after = -1
    if query.cursor is not None:
        [after] = decode_cursor(fingerprint, query.cursor, _PLACE)
    events = await dependencies_of(request).audit.history(
        stream, reader_of(request), after=after, limit=query.limit + 1, with_superseded=everything
    )
    shown = events[: query.limit]
    end = None
    if len(events) > query.limit:
        last = shown[-1].event
        end = encode_cursor(fingerprint, [last.position.offset if everything else last.version])
    return page_answer([described_json(*each) for each in shown], end)
