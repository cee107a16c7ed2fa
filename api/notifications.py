"""Notifications over HTTP: what one was told, and what of it one has read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.answers import command_answer, json_answer, object_answer
from api.asking import carry_out, key_of, path_id, query_of
from api.bodies import read_object, validated
from api.command_requests import Effect, NotYetVisible
from api.cursors import TIME_AND_ID, decode_cursor, encode_cursor
from api.edge import Edge, caller_of, edge_of
from api.schemas import Nothing, NotificationQuery, Query, Unread
from app.errors import NotFound
from app.positions import Positions, positions_to_json
from app.users import ReadAllNotifications, ReadNotifications, UnreadNotifications
from app.values import Moment
from projections.notification_queries import Notification

_CURSOR = "notifications"
_ONE, _MANY = TypeAdapter(Notification), TypeAdapter(list[Notification])
NO_NOTIFICATION = "no such notification"


class ReadAll(BaseModel):
    """How far everything is read; without `until`, as far as there is anything."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    until: Moment | None = None


async def list_notifications(request: Request) -> Response:
    """GET /api/notifications."""
    query = query_of(request, NotificationQuery)
    after = None
    if query.cursor is not None:
        after = decode_cursor(_CURSOR, query.cursor, TIME_AND_ID)
    queries, user = edge_of(request).notifications, caller_of(request).user
    page = await queries.page(user, unread=query.unread, after=after, limit=query.limit)
    end = encode_cursor(_CURSOR, [page.items[-1].time, page.items[-1].id]) if page.more else None
    body = b'{"items":%s,"next_cursor":%s,"unread":%d,"positions":%s}' % (
        _MANY.dump_json(list(page.items)),
        to_json(end),
        page.unread,
        to_json(positions_to_json(page.positions)),
    )
    return json_answer(body, positions=page.positions)


async def read_notification(request: Request) -> Response:
    """POST /api/notifications/{id}/read."""
    return await _say(request, ReadNotifications, read=True)


async def unread_notification(request: Request) -> Response:
    """POST /api/notifications/{id}/unread."""
    return await _say(request, UnreadNotifications, read=False)


async def read_all_notifications(request: Request) -> Response:
    """POST /api/notifications/read-all."""
    query_of(request, Query)
    edge, user = edge_of(request), caller_of(request).user
    body = await read_object(request, edge.settings.body_limit_bytes, optional=True)
    wish = validated(ReadAll, body)
    until = await _unread_until(edge, user, wish)
    if until is None:
        await edge.commands.recent()
        until = await _unread_until(edge, user, wish)
    positions: Positions = edge.outcomes.reached
    if until is not None:
        command = ReadAllNotifications(until=until.isoformat())
        result, wanted = await carry_out(request, command, f"user:{user}", key_of(request, body))
        if isinstance(result, NotYetVisible):
            return command_answer(request, result, wanted)
        positions = _positions(result)
    left = Unread(unread=await edge.notifications.unread(user))
    return object_answer(left, positions=positions)


async def _unread_until(edge: Edge, user: str, wish: ReadAll) -> datetime | None:
    """Up to when all is to be read; None if nothing is unread up to there."""
    newest = await edge.notifications.newest(user)
    if newest is None:
        return None
    # What nobody has seen yet is not read, whatever the clock of the client says.
    until = newest if wish.until is None else min(newest, datetime.fromisoformat(wish.until))
    return until if await edge.notifications.any_unread(user, until) else None


async def _say(
    request: Request, command: type[ReadNotifications | UnreadNotifications], *, read: bool
) -> Response:
    """Say that a notification is read, or unread, unless it is; the answer is the notification."""
    query_of(request, Query)
    edge, user = edge_of(request), caller_of(request).user
    validated(Nothing, await read_object(request, edge.settings.body_limit_bytes, optional=True))
    notification_id = path_id(request, "notification")
    found = await edge.notifications.one(user, notification_id)
    if found is None or found.read == read:
        await edge.commands.recent()
        found = await edge.notifications.one(user, notification_id)
    if found is None:
        raise NotFound(NO_NOTIFICATION)
    positions: Positions = edge.outcomes.reached
    if found.read != read:
        key = key_of(request, {})
        result, wanted = await carry_out(request, command(ids=(found.id,)), f"user:{user}", key)
        if isinstance(result, NotYetVisible):
            return command_answer(request, result, wanted)
        positions = _positions(result)
    return json_answer(_ONE.dump_json(replace(found, read=read)), positions=positions)


def _positions(result: Effect) -> Positions:
    return {} if result.position is None else {result.position.partition: result.position.offset}
