"""Lists over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import (
    BaseModel,
    Field,
)
from starlette.requests import Request
from starlette.responses import Response

from api.commands.task_actions import Nothing
from api.endpoints.history import EventPageOut, HistoryQuery, history_answer
from api.http.bodies import JSON, PATCH, read_object
from api.http.commands import carry_out, key_of
from api.http.cursors import TIME_AND_ID, decode_cursor, encode_cursor
from api.http.dependencies import caller_of, dependencies_of
from api.http.moments import MomentQuery, moment_of
from api.http.query import PageQuery, Query
from api.http.requests import path_id, query_of
from api.http.responses import json_answer, page_answer, state_answer
from api.http.routing import Endpoint, command
from app.authorisation import DELETED
from app.errors import NotFound
from app.lists.commands import (
    CreateList,
    DeleteList,
    EditList,
    ListCommand,
    RestoreList,
)
from app.lists.state import TaskList
from app.log.updates import state_json
from app.positions import Positions
from app.stream_ids import list_stream
from app.validation import validated
from projections.postgres.periods import Moment
from projections.read_models.lists import ListPage


class ListPageQuery(PageQuery, MomentQuery):
    """A selection of lists, now or at an earlier time."""

    deleted: bool = Field(
        False,
        description="Deleted lists that you may restore, newest deletion first, instead of yours",
    )


class ListPageOut(BaseModel):
    """Lists, and the positions they were read at."""

    items: list[TaskList]
    next_cursor: str | None
    positions: dict[str, int]


NO_LIST = "no such list"
_CURSOR, _DELETED_CURSOR = "lists", "deleted lists"


async def create_list(request: Request) -> Response:
    """POST /api/lists."""
    deps = dependencies_of(request)
    body = await read_object(request, deps.settings.body_limit_bytes)
    command = validated(CreateList, body)
    query_of(request, Query)
    key = key_of(request, body)
    list_id = key.created_id if key else deps.new_id()
    return await carry_out(request, command, list_stream(list_id), key)


async def list_lists(request: Request) -> Response:
    """GET /api/lists."""
    query = query_of(request, ListPageQuery)
    moment = moment_of(query)
    cursor = _DELETED_CURSOR if query.deleted else _CURSOR
    if moment is not None:
        cursor += f" {moment}"
    start = None if query.cursor is None else decode_cursor(cursor, query.cursor, TIME_AND_ID)
    page = await _page(request, query, moment, start)
    end = None
    if page.more:
        last = page.items[-1]
        end = encode_cursor(cursor, [last.deleted_at if query.deleted else last.created_at, last.id])
    return page_answer([state_json(each) for each in page.items], end, page.positions)


async def _page(
    request: Request, query: ListPageQuery, moment: Moment | None, start: tuple[datetime, str] | None
) -> ListPage:
    """Return the page of a query that begins at a place."""
    deps, user = dependencies_of(request), caller_of(request).user
    if moment is None and query.deleted:
        return await deps.lists.deleted(user, before=start, limit=query.limit)
    if moment is None:
        return await deps.lists.page(user, after=start, limit=query.limit)
    if query.deleted:
        return await deps.past_lists.deleted(user, moment, before=start, limit=query.limit)
    return await deps.past_lists.page(user, moment, after=start, limit=query.limit)


async def get_list(request: Request) -> Response:
    """GET /api/lists/{id}, now or at an earlier time."""
    moment = moment_of(query_of(request, MomentQuery))
    if moment is None:
        return state_answer(*await list_in_path(request))
    then = await list_then(request, moment)
    return json_answer(state_json(then), version=then.version)


async def edit_list(request: Request) -> Response:
    """PATCH /api/lists/{id}."""
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes, PATCH)
    return await change_list(request, validated(EditList, body), body)


async def delete_list(request: Request) -> Response:
    """DELETE /api/lists/{id}."""
    return await change_list(request, DeleteList(), {})


async def restore_list(request: Request) -> Response:
    """POST /api/lists/{id}/restore."""
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes, JSON, optional=True)
    validated(Nothing, body)
    return await change_list(request, RestoreList(), body)


async def list_history(request: Request) -> Response:
    """GET /api/lists/{id}/history."""
    query = query_of(request, HistoryQuery)
    list_id = path_id(request, "list")
    if not await dependencies_of(request).lists.may_see(caller_of(request).user, list_id):
        raise await unseen_list(request, list_id)
    return await history_answer(request, list_stream(list_id), query)


async def list_in_path(request: Request) -> tuple[TaskList, Positions]:
    """Return the list in the path, and the positions it was read at. Raise `NotFound`."""
    list_id = path_id(request, "list")
    found = await dependencies_of(request).lists.one(caller_of(request).user, list_id)
    if found is None:
        raise await unseen_list(request, list_id)
    return found


async def list_then(request: Request, moment: Moment) -> TaskList:
    """Return the list in the path at an earlier time. Raise `NotFound`."""
    list_id, user = path_id(request, "list"), caller_of(request).user
    deps = dependencies_of(request)
    then = await deps.past_lists.one(user, list_id, moment)
    if then is None:
        if await deps.lists.may_see(user, list_id):
            raise NotFound("no such list at that time")
        raise await unseen_list(request, list_id)
    return then


async def unseen_list(request: Request, list_id: str) -> NotFound:
    """Return the error for a list that the caller cannot see; mention if they may restore it."""
    may_restore = await dependencies_of(request).lists.may_restore(caller_of(request).user, list_id)
    return NotFound(DELETED if may_restore else NO_LIST)


async def change_list(request: Request, command: ListCommand, body: dict[str, Any]) -> Response:
    """Carry out a command on the list in the path."""
    query_of(request, Query)
    list_id = path_id(request, "list")
    return await carry_out(request, command, list_stream(list_id), key_of(request, body))


_LIST = "/api/lists/{id}"
_STAGES = [
    {"name": "To do", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
]

ENDPOINTS: tuple[Endpoint, ...] = (
    command(
        "POST",
        "/api/lists",
        create_list,
        "Create a list",
        body=CreateList,
        example={"name": "Groceries", "stages": _STAGES},
        query=Query,
        versioned=False,
        answers={201: TaskList},
    ),
    Endpoint(
        "GET",
        "/api/lists",
        list_lists,
        "List your lists, or the deleted lists that you may restore, now or then",
        "lists",
        query=ListPageQuery,
        answers={200: ListPageOut},
    ),
    Endpoint(
        "GET", _LIST, get_list, "Get a list, now or then", "lists", query=MomentQuery, answers={200: TaskList}
    ),
    command(
        "PATCH",
        _LIST,
        edit_list,
        "Edit a list (JSON merge patch): its name, its time zone, its stages as a whole",
        body=EditList,
        body_types=PATCH,
        example={"name": "Errands", "stages": _STAGES},
        query=Query,
        answers={200: TaskList},
    ),
    command(
        "DELETE",
        _LIST,
        delete_list,
        "Delete a list and its tasks; its owners can restore it",
        query=Query,
        answers={204: None},
    ),
    command(
        "POST",
        f"{_LIST}/restore",
        restore_list,
        "Restore a deleted list with its members, its stages and its tasks",
        body=Nothing,
        body_optional=True,
        query=Query,
        answers={200: TaskList},
    ),
    Endpoint(
        "GET",
        f"{_LIST}/history",
        list_history,
        "Get the events of a list",
        "lists",
        query=HistoryQuery,
        answers={200: EventPageOut},
    ),
)
