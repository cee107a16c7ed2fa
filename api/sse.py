"""Server-sent events at `/api/stream`: the relay for places where sockets do not pass.

It is a session like that of a socket, whose client asks for everything at the start, by the request. Each
update has its `id:`, the positions that it takes the client to, which a browser sends when it comes back.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api import protocol
from api.asking import query_of
from api.auth import Identity
from api.channels import list_behind
from api.edge import caller_of, token_of
from api.event_stream import HEADERS, MEDIA_TYPE, EventStream, Wish
from api.live import Live
from api.protocol import Refused, Subscribe
from api.relay import Relay
from api.schemas import StreamQuery
from app.errors import Forbidden, Malformed, NotFound, TaskError, Unavailable
from app.positions import parse_positions, positions_to_json


async def stream(request: Request) -> Response:
    """GET /api/stream."""
    query = query_of(request, StreamQuery)
    live: Live = request.app.state.live
    relay = live.relay
    if relay.hub.partitions == 0:
        raise Unavailable("the relay is not there yet")
    caller = caller_of(request)
    for channel in query.channel:
        await _check_visible(relay, caller, channel)
    wish = Wish(caller.user, token_of(request), query.channel, _since(request, query, relay.hub.partitions))
    if request.method == "HEAD":
        return Response(media_type=MEDIA_TYPE, headers=HEADERS)
    return EventStream(relay, live.attendance, wish)


async def _check_visible(relay: Relay, caller: Identity, channel: str) -> None:
    """Refuse a channel before the stream begins, when that can still be a problem. Raises `TaskError`."""
    kinds: dict[str, type[TaskError]] = {"forbidden": Forbidden, "not_found": NotFound}
    try:
        wish = Subscribe(type="subscribe", channel=channel)
        await list_behind(relay.visibility, relay.hub.positions, wish, caller)
    except Refused as refused:
        raise kinds.get(refused.code, Malformed)(f"channel: {refused.detail}") from None


def _since(request: Request, query: StreamQuery, partitions: int) -> dict[int, int] | None:
    """Where to resume: a client that comes back knows better than the address it began with."""
    last_id = request.headers.get("last-event-id")
    text = query.since if last_id is None else last_id
    if text is None:
        return None
    return protocol.read_since(positions_to_json(parse_positions(text)), partitions)
