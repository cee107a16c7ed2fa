"""Lists over HTTP."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    Field,
)
from starlette.requests import Request
from starlette.responses import Response

from api.commands.task_actions import Nothing
from api.endpoints.history import HistoryQuery, history_answer
from api.http.bodies import JSON, PATCH, read_object
from api.http.cursors import TIME_AND_ID, decode_cursor, encode_cursor
from api.http.dependencies import caller_of, dependencies_of
from api.http.query import PageQuery, Query
from api.http.requests import carry_out, key_of, path_id, query_of
from api.http.responses import command_answer, object_answer, page_answer, state_answer
from app.authorisation import DELETED
from app.errors import NotFound
from app.lists.commands import (
    CreateList,
    DeleteList,
    EditList,
    HandOverList,
    LeaveList,
    ListCommand,
    RemoveMember,
    RestoreList,
    SetMember,
)
from app.lists.state import TaskList
from app.log.updates import state_json
from app.positions import Positions
from app.text.names import normal_user
from app.validation import validated
from app.values import (
    Command,
    Role,
)


class ListPageQuery(PageQuery):
    """Which lists."""

    deleted: bool = Field(
        False,
        description="Instead of yours: those that were deleted and that you may restore, the last one first",
    )


class MemberRole(Command):
    """What a member of a list is to be."""

    role: Role


class MemberOut(BaseModel):
    """A member of a list."""

    user: str
    role: Role


class MembersOut(BaseModel):
    """The members of a list by name; there is one page only."""

    items: list[MemberOut]
    next_cursor: str | None = None


class ListPageOut(BaseModel):
    """Some lists, and the positions they were read at."""

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
    result, wanted = await carry_out(request, command, f"list:{list_id}", key)
    return command_answer(request, result, wanted, status=201, location=f"/api/lists/{list_id}")


async def list_lists(request: Request) -> Response:
    """GET /api/lists."""
    query = query_of(request, ListPageQuery)
    lists, user = dependencies_of(request).lists, caller_of(request).user
    cursor = _DELETED_CURSOR if query.deleted else _CURSOR
    place = None if query.cursor is None else decode_cursor(cursor, query.cursor, TIME_AND_ID)
    if query.deleted:
        page = await lists.deleted(user, before=place, limit=query.limit)
    else:
        page = await lists.page(user, after=place, limit=query.limit)
    end = None
    if page.more:
        last = page.items[-1]
        end = encode_cursor(cursor, [last.deleted_at if query.deleted else last.created_at, last.id])
    return page_answer([state_json(each) for each in page.items], end, page.positions)


async def get_list(request: Request) -> Response:
    """GET /api/lists/{id}."""
    query_of(request, Query)
    return state_answer(*await list_in_path(request))


async def edit_list(request: Request) -> Response:
    """PATCH /api/lists/{id}."""
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes, PATCH)
    return await change_list(request, validated(EditList, body), body)


async def delete_list(request: Request) -> Response:
    """DELETE /api/lists/{id}."""
    return await change_list(request, DeleteList(), {}, status=204)


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
    return await history_answer(request, f"list:{list_id}", query)


async def list_in_path(request: Request) -> tuple[TaskList, Positions]:
    """The list in the path, and the positions it was read at. Raises `NotFound`."""
    list_id = path_id(request, "list")
    found = await dependencies_of(request).lists.one(caller_of(request).user, list_id)
    if found is None:
        raise await unseen_list(request, list_id)
    return found


async def unseen_list(request: Request, list_id: str) -> NotFound:
    """The error for a list that the caller does not see; to those who may restore it, it says so."""
    may_restore = await dependencies_of(request).lists.may_restore(caller_of(request).user, list_id)
    return NotFound(DELETED if may_restore else NO_LIST)


async def change_list(
    request: Request, command: ListCommand, body: dict[str, Any], *, status: int = 200
) -> Response:
    """Carry out a command on the list in the path."""
    query_of(request, Query)
    list_id = path_id(request, "list")
    result, wanted = await carry_out(request, command, f"list:{list_id}", key_of(request, body))
    return command_answer(request, result, wanted, status=status)


async def list_members(request: Request) -> Response:
    """GET /api/lists/{id}/members."""
    query_of(request, Query)
    task_list, positions = await list_in_path(request)
    members = [MemberOut(user=user, role=role) for user, role in sorted(task_list.members.items())]
    return object_answer(MembersOut(items=members), positions=positions)


async def set_member(request: Request) -> Response:
    """PUT /api/lists/{id}/members/{user}."""
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes)
    role = validated(MemberRole, body).role
    command = validated(SetMember, {"user": request.path_params["user"], "role": role})
    return await change_list(request, command, body)


async def remove_member(request: Request) -> Response:
    """DELETE /api/lists/{id}/members/{user}; to remove oneself is to leave."""
    command = validated(RemoveMember, {"user": request.path_params["user"]})
    if normal_user(command.user) == caller_of(request).user:
        return await change_list(request, LeaveList(), {}, status=204)
    return await change_list(request, command, {}, status=204)


async def leave_list(request: Request) -> Response:
    """POST /api/lists/{id}/leave."""
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes, JSON, optional=True)
    validated(Nothing, body)
    return await change_list(request, LeaveList(), body, status=204)


async def hand_over_list(request: Request) -> Response:
    """POST /api/lists/{id}/hand-over."""
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes)
    return await change_list(request, validated(HandOverList, body), body)
