"""Questions to the audit that are followed live, as server-sent events."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.stream import LiveSide
from api.http.audit_access import reader_of, record_access
from api.http.audit_parameters import audit_parameters, with_filters
from api.http.dependencies import caller_of, dependencies_of
from api.http.query import Query
from api.http.routing import Endpoint
from api.protocol.client_messages import read_since
from api.relay.tails import TailNode
from api.transports.sse.response import HEADERS, MEDIA_TYPE
from api.transports.sse.tail_stream import TailRequest, TailStream
from app.audit.query import AuditQuery
from app.errors import Malformed, NotFound, Unavailable
from app.positions import parse_positions, positions_to_json
from projections.postgres.database import DATABASE_UNAVAILABLE


class AuditStreamQuery(Query):
    """The place to begin."""

    since: str | None = Field(
        None,
        description="Begin after these positions, such as 0:121,3:44; `Last-Event-ID` takes precedence. By"
        " default begin with what is recorded next; empty means the beginning of the log",
    )
    access_token: str | None = Field(None, description="The token, for clients that cannot set headers")


class TailSide(LiveSide, Protocol):
    """The parts of the composition root that tails need."""

    @property
    def tails(self) -> TailNode:
        """Return the state that all tails share."""


async def audit_stream(request: Request) -> Response:
    """GET /api/audit/stream."""
    query, own = audit_parameters(request, AuditStreamQuery)
    live: TailSide = request.app.state.live
    since = await _since(request, own.since)

    async def check() -> None:
        await _check_visible(request, query)

    if request.method == "HEAD":
        await check()
        return Response(media_type=MEDIA_TYPE, headers=HEADERS)
    await record_access(request, query, "stream")
    action = TailRequest(query, reader_of(request), since)
    return TailStream(live.relay, live.connection_registry, caller_of(request), live.tails, action, check)


async def _check_visible(request: Request, query: AuditQuery) -> None:
    """Raise `NotFound` if the question names lists or streams of which the caller does not see all.

    Raise `Unavailable` without a database.
    """
    reader, names = reader_of(request), query.list_ids or query.streams
    if not names or reader.sees_all:
        return
    try:
        are_own = await dependencies_of(request).audit_events.are_own(query, reader.user)
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable("the database is unavailable") from error
    if not are_own:
        raise NotFound("you do not see, or no longer see, what the question names")


async def _since(request: Request, parameter: str | None) -> dict[int, int] | None:
    """Return the positions to begin after. Raise `Malformed` if the log does not have them."""
    last_id = request.headers.get("last-event-id")
    text = parameter if last_id is None else last_id
    if text is None:
        return None
    log = dependencies_of(request).log
    since = read_since(positions_to_json(parse_positions(text)), log.partitions)
    ends = await log.ends()
    if any(offset >= ends.get(partition, 0) for partition, offset in since.items()):
        raise Malformed("since: beyond the end of the log; it is of another log, or records were lost")
    return since


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/audit/stream",
        audit_stream,
        "Follow events of the log by filters, as server-sent events",
        "audit",
        query=with_filters(AuditStreamQuery),
        stream=True,
        answers={200: str},
    ),
)
