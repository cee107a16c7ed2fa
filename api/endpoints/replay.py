"""Replays as server-sent events, for clients that cannot use sockets."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.stream import LiveSide, check_visible
from api.http.dependencies import caller_of
from api.http.query import Instant, Query
from api.http.requests import path_id, query_of
from api.http.routing import Endpoint
from api.protocol.limits import DEFAULT_GAP_MS
from api.protocol.replay_options import MAX_TYPES, GapMs, ReplayOptions, Speed
from api.transports.sse.replay_cursor import END, ReplayRequest, read_cursor
from api.transports.sse.replay_stream import ReplayStream
from api.transports.sse.response import HEADERS, MEDIA_TYPE
from app.channels import Channel
from app.errors import Unavailable
from app.validation import invalid

_NUMBER = re.compile(r"^\d{1,15}(\.\d{1,15})?(e\d{1,2})?\Z", re.ASCII)


def _number(text: object) -> object:
    if not isinstance(text, str):
        return text
    if not _NUMBER.match(text):
        raise ValueError("should be a number, such as 1000 or 0.5")
    return float(text)


class ReplayQuery(Query):
    """The part of a list's past to replay, and its pace."""

    first: Instant | None = Field(
        None,
        alias="from",
        description="Begin with the list as of this time; by default before its first event",
    )
    last: Instant | None = Field(None, alias="to", description="End; by default after the last event")
    speed: Annotated[Speed, BeforeValidator(_number)] = Field(1.0, description="Gaps are divided by it")
    max_gap_ms: GapMs = Field(DEFAULT_GAP_MS, description="Longer gaps, after division, are shortened to it")
    type: tuple[str, ...] = Field(
        (), description="May be repeated: only events of these types", max_length=MAX_TYPES
    )
    access_token: str | None = Field(None, description="The token, for clients that cannot set headers")

    def options(self) -> ReplayOptions:
        """Return the options of a replay. Raise `Invalid`."""
        try:
            return ReplayOptions(
                first=self.first,
                last=self.last,
                speed=self.speed,
                max_gap_ms=self.max_gap_ms,
                types=list(self.type) or None,
            )
        except ValidationError as error:
            raise invalid(error) from None


async def replay(request: Request) -> Response:
    """GET /api/lists/{id}/replay."""
    options, list_id = query_of(request, ReplayQuery).options(), path_id(request, "list")
    live: LiveSide = request.app.state.live
    caller = caller_of(request)
    if live.relay.hub.published.partitions == 0:
        raise Unavailable("the relay has not started yet")

    async def check() -> None:
        await check_visible(live.relay, caller, Channel(f"replay:{list_id}"))

    last_id = request.headers.get("last-event-id")
    if request.method == "HEAD" or last_id == END:
        await check()
        # Without content browsers do not reconnect.
        return (
            Response(status_code=204) if last_id == END else Response(media_type=MEDIA_TYPE, headers=HEADERS)
        )
    action = ReplayRequest(list_id, options, read_cursor(last_id) if last_id else None)
    return ReplayStream(live.relay, live.connection_registry, caller, action, check)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/lists/{id}/replay",
        replay,
        "Replay the past of a list as server-sent events",
        "live",
        query=ReplayQuery,
        stream=True,
        answers={200: str, 204: None},
    ),
)
