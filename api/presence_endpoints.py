"""Presence over HTTP: who is on a channel, and, for administrators, who is connected."""

from __future__ import annotations

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api.answers import object_answer
from api.asking import query_of
from api.cursors import decode_cursor, encode_cursor
from api.edge import caller_of, edge_of
from api.schemas import (
    ConnectedUser,
    ConnectionsOut,
    ConnectionsQuery,
    PresenceOut,
    PresenceQuery,
    PresentOut,
)
from app.errors import FieldError, Invalid, NotFound
from app.ids import is_uuid

MAX_PRESENT = 1_000
_CURSOR = "connections"
_PLACE = TypeAdapter(tuple[str])


async def presence(request: Request) -> Response:
    """GET /api/presence."""
    channel = query_of(request, PresenceQuery).channel
    if not await _may_see(request, channel):
        raise NotFound("no such channel")
    crowd = edge_of(request).presence
    found = [
        PresentOut(user=each.user, connections=each.connections, viewing=each.viewing, typing=each.typing)
        for each in crowd.present(channel, MAX_PRESENT)
    ]
    return object_answer(PresenceOut(channel=channel, present=found, total=crowd.present_count(channel)))


async def _may_see(request: Request, channel: str) -> bool:
    """Whether the caller may see a channel. Raises `Invalid` if it is none with presence."""
    edge, user = edge_of(request), caller_of(request).user
    kind, _, key = channel.partition(":")
    match kind:
        case "task" if is_uuid(key):
            return await edge.tasks.may_see(user, key)
        case "list" if is_uuid(key):
            return await edge.lists.may_see(user, key)
        case _:
            raise Invalid([FieldError("channel", "must be task:… or list:… with the id of one")])


async def connections(request: Request) -> Response:
    """GET /api/connections."""
    query = query_of(request, ConnectionsQuery)
    crowd = edge_of(request).presence
    after = "" if query.cursor is None else decode_cursor(_CURSOR, query.cursor, _PLACE)[0]
    users = [user for user in crowd.connected_users() if query.user in {None, user}]
    following = [user for user in users if user > after]
    page = [crowd.connected(user) for user in following[: query.limit]]
    more = len(following) > query.limit
    return object_answer(
        ConnectionsOut(
            items=[
                ConnectedUser(user=each.user, connections=each.connections, nodes=each.nodes) for each in page
            ],
            next_cursor=encode_cursor(_CURSOR, [page[-1].user]) if more else None,
            total_users=len(users),
            total_connections=sum(crowd.connection_count(user) for user in users),
        )
    )
