"""Presence over HTTP: users on a channel, and, for administrators, connected users."""

from __future__ import annotations

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
)
from starlette.requests import Request
from starlette.responses import Response

from api.http.cursors import decode_cursor, encode_cursor
from api.http.dependencies import caller_of, dependencies_of
from api.http.query import PageQuery, Query, UserFilter
from api.http.requests import query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from api.http.visibility import may_see
from api.presence.local_sockets import has_presence
from app.channels import Channel
from app.errors import FieldError, Invalid, NotFound
from app.ids import is_uuid


class PresenceQuery(Query):
    """The channel of a presence request."""

    channel: str = Field(
        description="`task:` or `list:`, and an id",
        max_length=256,
        examples=["task:0190f3c0-0000-7000-8000-000000000000"],
    )


class ConnectionsQuery(PageQuery):
    """A selection of connections."""

    user: UserFilter | None = Field(None, description="Connections of this user only", max_length=128)


class PresentOut(BaseModel):
    """A user who is present on a channel."""

    user: str
    connections: int = Field(description="Number of the user's sockets that are subscribed to the channel")
    viewing: bool = Field(description="True if one of them reports viewing")
    typing: bool = Field(description="True if one of them reported typing in the last 4 s")


class PresenceOut(BaseModel):
    """The users present on a channel, on any node."""

    channel: str
    present: list[PresentOut] = Field(description="At most 1,000 users, in the order of their arrival")
    total: int = Field(description="Number of users")


class ConnectedUser(BaseModel):
    """A user who is connected."""

    user: str
    connections: int = Field(description="Number of sockets on all nodes")
    nodes: int = Field(description="Number of nodes")


class ConnectionsOut(BaseModel):
    """Connected users, ordered by name, and their total number."""

    items: list[ConnectedUser]
    next_cursor: str | None
    total_users: int
    total_connections: int


MAX_PRESENT = 1_000
_CURSOR = "connections"
_PLACE = TypeAdapter(tuple[str])


async def presence(request: Request) -> Response:
    """GET /api/presence."""
    channel = Channel(query_of(request, PresenceQuery).channel)
    if not await _may_see(request, channel):
        raise NotFound("no such channel")
    present_users = dependencies_of(request).presence
    found = [
        PresentOut(user=each.user, connections=each.connections, viewing=each.viewing, typing=each.typing)
        for each in present_users.present(channel, MAX_PRESENT)
    ]
    return object_answer(
        PresenceOut(channel=channel, present=found, total=present_users.present_count(channel))
    )


async def _may_see(request: Request, channel: Channel) -> bool:
    """Return True if the caller may see a channel. Raise `Invalid` if the channel has no presence."""
    if not has_presence(channel) or not is_uuid(channel.key):
        raise Invalid([FieldError("channel", "must be task:… or list:… with the id of one")])
    return await may_see(dependencies_of(request), caller_of(request).user, channel)


async def connections(request: Request) -> Response:
    """GET /api/connections."""
    query = query_of(request, ConnectionsQuery)
    present_users = dependencies_of(request).presence
    after = "" if query.cursor is None else decode_cursor(_CURSOR, query.cursor, _PLACE)[0]
    users = [user for user in present_users.connected_users() if query.user in {None, user}]
    following = [user for user in users if user > after]
    page = [present_users.connected(user) for user in following[: query.limit]]
    more = len(following) > query.limit
    return object_answer(
        ConnectionsOut(
            items=[
                ConnectedUser(user=each.user, connections=each.connections, nodes=each.nodes) for each in page
            ],
            next_cursor=encode_cursor(_CURSOR, [page[-1].user]) if more else None,
            total_users=len(users),
            total_connections=sum(present_users.connection_count(user) for user in users),
        )
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/presence",
        presence,
        "List the users on a channel: those who have a task open, or a list's connected members",
        "presence",
        query=PresenceQuery,
        answers={200: PresenceOut},
    ),
    Endpoint(
        "GET",
        "/api/connections",
        connections,
        "List the connected users on all nodes, with their numbers of connections",
        "presence",
        query=ConnectionsQuery,
        admin=True,
        answers={200: ConnectionsOut},
    ),
)
