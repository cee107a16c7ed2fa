"""Presence over HTTP: who is on a channel, and, for administrators, who is connected."""

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
from app.errors import FieldError, Invalid, NotFound
from app.ids import is_uuid


class PresenceQuery(Query):
    """Of which channel."""

    channel: str = Field(
        description="`task:` or `list:`, and an id",
        max_length=256,
        examples=["task:0190f3c0-0000-7000-8000-000000000000"],
    )


class ConnectionsQuery(PageQuery):
    """Whose connections."""

    user: UserFilter | None = Field(None, description="Only this user's", max_length=128)


class PresentOut(BaseModel):
    """A user on a channel."""

    user: str
    connections: int = Field(description="The user's sockets that have the channel")
    viewing: bool = Field(description="Whether one of them said so")
    typing: bool = Field(description="Whether one of them said so in the last 4 s")


class PresenceOut(BaseModel):
    """Who is on a channel, on any node."""

    channel: str
    present: list[PresentOut] = Field(description="At most 1,000, in the order in which they came")
    total: int = Field(description="How many users there are")


class ConnectedUser(BaseModel):
    """A user who is connected."""

    user: str
    connections: int = Field(description="Sockets on all nodes")
    nodes: int = Field(description="On so many nodes")


class ConnectionsOut(BaseModel):
    """Some of those who are connected, by name, and how many that are in all."""

    items: list[ConnectedUser]
    next_cursor: str | None
    total_users: int
    total_connections: int


MAX_PRESENT = 1_000
_CURSOR = "connections"
_PLACE = TypeAdapter(tuple[str])


async def presence(request: Request) -> Response:
    """GET /api/presence."""
    channel = query_of(request, PresenceQuery).channel
    if not await _may_see(request, channel):
        raise NotFound("no such channel")
    presence_tracker = dependencies_of(request).presence
    found = [
        PresentOut(user=each.user, connections=each.connections, viewing=each.viewing, typing=each.typing)
        for each in presence_tracker.present(channel, MAX_PRESENT)
    ]
    return object_answer(
        PresenceOut(channel=channel, present=found, total=presence_tracker.present_count(channel))
    )


async def _may_see(request: Request, channel: str) -> bool:
    """Whether the caller may see a channel. Raises `Invalid` if it is none with presence."""
    deps, user = dependencies_of(request), caller_of(request).user
    kind, _, key = channel.partition(":")
    match kind:
        case "task" if is_uuid(key):
            return await deps.tasks.may_see(user, key)
        case "list" if is_uuid(key):
            return await deps.lists.may_see(user, key)
        case _:
            raise Invalid([FieldError("channel", "must be task:… or list:… with the id of one")])


async def connections(request: Request) -> Response:
    """GET /api/connections."""
    query = query_of(request, ConnectionsQuery)
    presence_tracker = dependencies_of(request).presence
    after = "" if query.cursor is None else decode_cursor(_CURSOR, query.cursor, _PLACE)[0]
    users = [user for user in presence_tracker.connected_users() if query.user in {None, user}]
    following = [user for user in users if user > after]
    page = [presence_tracker.connected(user) for user in following[: query.limit]]
    more = len(following) > query.limit
    return object_answer(
        ConnectionsOut(
            items=[
                ConnectedUser(user=each.user, connections=each.connections, nodes=each.nodes) for each in page
            ],
            next_cursor=encode_cursor(_CURSOR, [page[-1].user]) if more else None,
            total_users=len(users),
            total_connections=sum(presence_tracker.connection_count(user) for user in users),
        )
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/presence",
        presence,
        "Who is on a channel now: who has a task open, or which members of a list are connected",
        "presence",
        query=PresenceQuery,
        answers={200: PresenceOut},
    ),
    Endpoint(
        "GET",
        "/api/connections",
        connections,
        "Who is connected to any node, and how often",
        "presence",
        query=ConnectionsQuery,
        admin=True,
        answers={200: ConnectionsOut},
    ),
)
