"""Lists over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.answers import command_answer, page_answer, state_answer
from api.asking import carry_out, key_of, path_id, query_of
from api.bodies import PATCH, read_object, validated
from api.cursors import TIME_AND_ID, decode_cursor, encode_cursor
from api.edge import caller_of, edge_of
from api.histories import history_answer
from api.schemas import HistoryQuery, PageQuery, Query
from app.errors import NotFound
from app.lists import CreateList, DeleteList, EditList, ListCommand
from app.updates import state_json

NO_LIST = "no such list"
_CURSOR = "lists"


async def create_list(request: Request) -> Response:
    """POST /api/lists."""
    edge = edge_of(request)
    body = await read_object(request, edge.settings.body_limit_bytes)
    command = validated(CreateList, body)
    query_of(request, Query)
    key = key_of(request, body)
    list_id = key.created_id if key else edge.new_id()
    result, wanted = await carry_out(request, command, f"list:{list_id}", key)
    return command_answer(request, result, wanted, status=201, location=f"/api/lists/{list_id}")


async def list_lists(request: Request) -> Response:
    """GET /api/lists."""
    query = query_of(request, PageQuery)
    after = None
    if query.cursor is not None:
        after = decode_cursor(_CURSOR, query.cursor, TIME_AND_ID)
    page = await edge_of(request).lists.page(caller_of(request).user, after=after, limit=query.limit)
    end = encode_cursor(_CURSOR, [page.items[-1].created_at, page.items[-1].id]) if page.more else None
    return page_answer([state_json(each) for each in page.items], end, page.positions)


async def get_list(request: Request) -> Response:
    """GET /api/lists/{id}."""
    query_of(request, Query)
    found = await edge_of(request).lists.one(caller_of(request).user, path_id(request, "list"))
    if found is None:
        raise NotFound(NO_LIST)
    return state_answer(*found)


async def edit_list(request: Request) -> Response:
    """PATCH /api/lists/{id}."""
    body = await read_object(request, edge_of(request).settings.body_limit_bytes, PATCH)
    return await change_list(request, validated(EditList, body), body)


async def delete_list(request: Request) -> Response:
    """DELETE /api/lists/{id}."""
    return await change_list(request, DeleteList(), {}, status=204)


async def list_history(request: Request) -> Response:
    """GET /api/lists/{id}/history."""
    query = query_of(request, HistoryQuery)
    list_id = path_id(request, "list")
    if not await edge_of(request).lists.may_see(caller_of(request).user, list_id):
        raise NotFound(NO_LIST)
    return await history_answer(request, f"list:{list_id}", query)


async def change_list(
    request: Request, command: ListCommand, body: dict[str, Any], *, status: int = 200
) -> Response:
    """Carry out a command on the list in the path."""
    query_of(request, Query)
    list_id = path_id(request, "list")
    result, wanted = await carry_out(request, command, f"list:{list_id}", key_of(request, body))
    return command_answer(request, result, wanted, status=status)
