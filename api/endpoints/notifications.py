"""Notifications over HTTP: the caller's notifications, and which of them are read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
)
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.commands.idempotency import CommandKey
from api.commands.requests import Pending
from api.commands.task_actions import Nothing
from api.http.bodies import read_object
from api.http.commands import command_answer, command_request_of, key_of
from api.http.cursors import TIME_AND_ID, decode_cursor, encode_cursor
from api.http.dependencies import Dependencies, caller_of, dependencies_of
from api.http.query import PageQuery, Query
from api.http.requests import path_id, query_of
from api.http.responses import json_answer, object_answer
from api.http.routing import Endpoint, command
from app.errors import NotFound
from app.positions import Positions, positions_to_json
from app.stream_ids import user_stream
from app.users import ReadAllNotifications, ReadNotifications, UnreadNotifications, UserCommand
from app.validation import validated
from app.values import (
    Moment,
)
from projections.read_models.notifications import MAX_UNREAD, Notification

_UNREAD = f"Number of unread notifications; {MAX_UNREAD} means that many or more"


class NotificationQuery(PageQuery):
    """A selection of notifications, newest first."""

    unread: bool = Field(False, description="Unread notifications only")


class Unread(BaseModel):
    """The number of unread notifications."""

    unread: int = Field(description=_UNREAD)


class NotificationPageOut(Unread):
    """Notifications, newest first, and the positions they were read at."""

    items: list[Notification]
    next_cursor: str | None
    positions: dict[str, int]


_CURSOR = "notifications"
_ONE, _MANY = TypeAdapter(Notification), TypeAdapter(list[Notification])
NO_NOTIFICATION = "no such notification"


class ReadAll(BaseModel):
    """The time up to which all notifications become read; without `until`, up to the newest."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    until: Moment | None = None


async def list_notifications(request: Request) -> Response:
    """GET /api/notifications."""
    query = query_of(request, NotificationQuery)
    after = None
    if query.cursor is not None:
        after = decode_cursor(_CURSOR, query.cursor, TIME_AND_ID)
    queries, user = dependencies_of(request).notifications, caller_of(request).user
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
    return await _mark(request, ReadNotifications, read=True)


async def unread_notification(request: Request) -> Response:
    """POST /api/notifications/{id}/unread."""
    return await _mark(request, UnreadNotifications, read=False)


async def read_all_notifications(request: Request) -> Response:
    """POST /api/notifications/read-all."""
    query_of(request, Query)
    deps, user = dependencies_of(request), caller_of(request).user
    body = await read_object(request, deps.settings.body_limit_bytes, optional=True)
    action = validated(ReadAll, body)
    until = await deps.commands.decisions.retry_refused_query(
        lambda: _unread_until(deps, user, action), lambda found: found is not None
    )
    positions: Positions = deps.outcomes.reached
    if until is not None:
        command = ReadAllNotifications(until=until.isoformat())
        answer, positions = await _carry_out(request, command, key_of(request, body))
        if answer is not None:
            return answer
    left = Unread(unread=await deps.notifications.unread(user))
    return object_answer(left, positions=positions)


async def _unread_until(deps: Dependencies, user: str, action: ReadAll) -> datetime | None:
    """Return the time up to which to mark as read; None if nothing before it is unread."""
    newest = await deps.notifications.newest(user)
    if newest is None:
        return None
    # Notifications that nobody has seen yet stay unread, whatever the client's clock says.
    until = newest if action.until is None else min(newest, datetime.fromisoformat(action.until))
    return until if await deps.notifications.any_unread(user, until) else None


async def _mark(
    request: Request, command: type[ReadNotifications | UnreadNotifications], *, read: bool
) -> Response:
    """Mark a notification as read or unread, unless it already is; answer with the notification."""
    query_of(request, Query)
    deps, user = dependencies_of(request), caller_of(request).user
    validated(Nothing, await read_object(request, deps.settings.body_limit_bytes, optional=True))
    notification_id = path_id(request, "notification")
    found = await deps.commands.decisions.retry_refused_query(
        lambda: deps.notifications.one(user, notification_id),
        lambda found: found is not None and found.read != read,
    )
    if found is None:
        raise NotFound(NO_NOTIFICATION)
    positions: Positions = deps.outcomes.reached
    if found.read != read:
        answer, positions = await _carry_out(request, command(ids=(found.id,)), key_of(request, {}))
        if answer is not None:
            return answer
    return json_answer(_ONE.dump_json(replace(found, read=read)), positions=positions)


async def _carry_out(
    request: Request, command: UserCommand, key: CommandKey | None
) -> tuple[Response | None, Positions]:
    """Carry out a command on the caller's stream; return the response if its outcome is not known yet."""
    command_request = command_request_of(request, command, user_stream(caller_of(request).user), key)
    result = await dependencies_of(request).commands.handle(command_request)
    answer = command_answer(request, command_request, result) if isinstance(result, Pending) else None
    return answer, result.positions


_NOTIFICATION = "/api/notifications/{id}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/notifications",
        list_notifications,
        "List your notifications, newest first",
        "notifications",
        query=NotificationQuery,
        answers={200: NotificationPageOut},
    ),
    command(
        "POST",
        f"{_NOTIFICATION}/read",
        read_notification,
        "Mark a notification as read",
        body=Nothing,
        body_optional=True,
        query=Query,
        versioned=False,
        answers={200: Notification},
    ),
    command(
        "POST",
        f"{_NOTIFICATION}/unread",
        unread_notification,
        "Mark a notification as unread",
        body=Nothing,
        body_optional=True,
        query=Query,
        versioned=False,
        answers={200: Notification},
    ),
    command(
        "POST",
        "/api/notifications/read-all",
        read_all_notifications,
        "Mark all notifications as read, or all up to a time",
        body=ReadAll,
        body_optional=True,
        example={"until": "2026-12-01T09:00:00Z"},
        query=Query,
        versioned=False,
        answers={200: Unread},
    ),
)
