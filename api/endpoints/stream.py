"""Server-sent events at `/api/stream`: the relay for clients that cannot use sockets.

A stream is a session like that of a socket, whose client sends all its requests at the start. Each update has
an `id:`, the positions that the client has then reached, which a browser sends when it reconnects.
"""

from __future__ import annotations

from typing import Protocol

from pydantic import (
    Field,
)
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Identity
from api.http.dependencies import caller_of, token_of
from api.http.query import Query
from api.http.requests import query_of
from api.http.routing import Endpoint
from api.protocol.client_messages import Refused, Subscribe, read_since
from api.relay.channel_access import list_behind
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.transports.sse.response import HEADERS, MEDIA_TYPE, EventStream, StreamRequest
from app.channels import Channel
from app.errors import Forbidden, Malformed, NotFound, TaskError, Unavailable
from app.positions import parse_positions, positions_to_json


class StreamQuery(Query):
    """The channels of an event stream, and the positions to start from."""

    channel: tuple[Channel, ...] = Field(
        (),
        description="May be repeated: `task:…`, in addition to the automatic channels",
        max_length=100,
    )
    since: str | None = Field(
        None, description="The positions to resume from, such as 0:121,3:44; `Last-Event-ID` takes precedence"
    )
    access_token: str | None = Field(None, description="The token, for clients that cannot set headers")


class LiveSide(Protocol):
    """The parts of the composition root that live connections need."""

    @property
    def relay(self) -> Relay:
        """Return the state that all sessions share."""

    @property
    def connection_registry(self) -> ConnectionRegistry:
        """Return the registry of connections."""


async def stream(request: Request) -> Response:
    """GET /api/stream."""
    query = query_of(request, StreamQuery)
    live: LiveSide = request.app.state.live
    relay = live.relay
    if relay.hub.published.partitions == 0:
        raise Unavailable("the relay has not started yet")
    caller = caller_of(request)
    for channel in query.channel:
        if channel.kind == "replay":
            raise Malformed("channel: a replay has a stream of its own, /api/lists/{id}/replay")
        await check_visible(relay, caller, channel)
    action = StreamRequest(
        caller.user, token_of(request), query.channel, _since(request, query, relay.hub.published.partitions)
    )
    if request.method == "HEAD":
        return Response(media_type=MEDIA_TYPE, headers=HEADERS)
    return EventStream(relay, live.connection_registry, action)


async def check_visible(relay: Relay, caller: Identity, channel: Channel) -> None:
    """Refuse a channel before the stream starts, while a problem can still be sent. Raise `TaskError`."""
    kinds: dict[str, type[TaskError]] = {"forbidden": Forbidden, "not_found": NotFound}
    try:
        action = Subscribe(type="subscribe", channel=channel)
        await list_behind(relay.visibility, relay.hub.published.positions, action, caller)
    except Refused as refused:
        raise kinds.get(refused.code, Malformed)(f"channel: {refused.detail}") from None


def _since(request: Request, query: StreamQuery, partitions: int) -> dict[int, int] | None:
    """Return the positions to resume from; `Last-Event-ID` of a reconnecting client precedes `since`."""
    last_id = request.headers.get("last-event-id")
    text = query.since if last_id is None else last_id
    if text is None:
        return None
    return read_since(positions_to_json(parse_positions(text)), partitions)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/stream",
        stream,
        "Stream updates from now on, or since the given positions, as server-sent events",
        "live",
        query=StreamQuery,
        stream=True,
        answers={200: str},
    ),
)
