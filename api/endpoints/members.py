"""Members of lists over HTTP."""

from __future__ import annotations

from pydantic import (
    BaseModel,
)
from starlette.requests import Request
from starlette.responses import Response

from api.commands.task_actions import Nothing
from api.endpoints.lists import change_list, list_in_path, list_then
from api.http.bodies import JSON, read_object
from api.http.dependencies import caller_of, dependencies_of
from api.http.moments import MomentQuery, moment_of
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint, command
from app.lists.commands import (
    HandOverList,
    LeaveList,
    RemoveMember,
    SetMember,
)
from app.lists.members import members_of
from app.lists.state import TaskList
from app.text.names import normal_user
from app.validation import validated
from app.values import (
    Command,
    Role,
)


class MemberRole(Command):
    """The role that a member of a list gets."""

    role: Role


class MemberOut(BaseModel):
    """A member of a list."""

    user: str
    role: Role


class MembersOut(BaseModel):
    """The members of a list, ordered by name; there is only one page."""

    items: list[MemberOut]
    next_cursor: str | None = None


async def list_members(request: Request) -> Response:
    """GET /api/lists/{id}/members, now or at an earlier time."""
    moment = moment_of(query_of(request, MomentQuery))
    if moment is None:
        task_list, positions = await list_in_path(request)
    else:
        task_list, positions = await list_then(request, moment), None
    members = [MemberOut(user=user, role=role) for user, role in members_of(task_list)]
    return object_answer(MembersOut(items=members), positions=positions)


async def set_member(request: Request) -> Response:
    """PUT /api/lists/{id}/members/{user}."""
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes)
    role = validated(MemberRole, body).role
    command = validated(SetMember, {"user": request.path_params["user"], "role": role})
    return await change_list(request, command, body)


async def remove_member(request: Request) -> Response:
    """DELETE /api/lists/{id}/members/{user}; removing oneself is leaving."""
    command = validated(RemoveMember, {"user": request.path_params["user"]})
    if normal_user(command.user) == caller_of(request).user:
        return await change_list(request, LeaveList(), {})
    return await change_list(request, command, {})


async def leave_list(request: Request) -> Response:
    """POST /api/lists/{id}/leave."""
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes, JSON, optional=True)
    validated(Nothing, body)
    return await change_list(request, LeaveList(), body)


async def hand_over_list(request: Request) -> Response:
    """POST /api/lists/{id}/hand-over."""
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes)
    return await change_list(request, validated(HandOverList, body), body)


_LIST = "/api/lists/{id}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        f"{_LIST}/members",
        list_members,
        "List the members of a list with their roles, now or then",
        "lists",
        query=MomentQuery,
        answers={200: MembersOut},
    ),
    command(
        "PUT",
        f"{_LIST}/members/{{user}}",
        set_member,
        "Add a member to a list, or change a member's role",
        body=MemberRole,
        example={"role": "editor"},
        query=Query,
        answers={200: TaskList},
    ),
    command(
        "DELETE",
        f"{_LIST}/members/{{user}}",
        remove_member,
        "Remove a member from a list; removing oneself is leaving",
        query=Query,
        answers={204: None},
    ),
    command(
        "POST",
        f"{_LIST}/leave",
        leave_list,
        "Leave a list",
        body=Nothing,
        body_optional=True,
        query=Query,
        answers={204: None},
    ),
    command(
        "POST",
        f"{_LIST}/hand-over",
        hand_over_list,
        "Make another member the owner, and become an editor",
        body=HandOverList,
        example={"to": "bob"},
        query=Query,
        answers={200: TaskList},
    ),
)
