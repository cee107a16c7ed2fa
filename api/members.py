"""The members of lists over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.answers import object_answer
from api.asking import query_of
from api.bodies import JSON, read_object, validated
from api.edge import caller_of, edge_of
from api.lists import change_list, list_in_path
from api.schemas import MemberOut, MemberRole, MembersOut, Nothing, Query
from app.lists import HandOverList, LeaveList, RemoveMember, SetMember
from app.names import normal_user


async def list_members(request: Request) -> Response:
    """GET /api/lists/{id}/members."""
    query_of(request, Query)
    task_list, positions = await list_in_path(request)
    members = [MemberOut(user=user, role=role) for user, role in sorted(task_list.members.items())]
    return object_answer(MembersOut(items=members), positions=positions)


async def set_member(request: Request) -> Response:
    """PUT /api/lists/{id}/members/{user}."""
    body = await read_object(request, edge_of(request).settings.body_limit_bytes)
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
    body = await read_object(request, edge_of(request).settings.body_limit_bytes, JSON, optional=True)
    validated(Nothing, body)
    return await change_list(request, LeaveList(), body, status=204)


async def hand_over_list(request: Request) -> Response:
    """POST /api/lists/{id}/hand-over."""
    body = await read_object(request, edge_of(request).settings.body_limit_bytes)
    return await change_list(request, validated(HandOverList, body), body)
