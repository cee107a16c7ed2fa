"""Tasks over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.answers import command_answer, json_answer, state_answer
from api.asking import carry_out, key_of, path_id, query_of, refuse_if_match
from api.bodies import JSON, PATCH, read_object, validated
from api.edge import caller_of, edge_of
from api.histories import history_answer
from api.schemas import HistoryQuery, NewTask, TaskQuery
from app.errors import FieldError, Invalid, Malformed, NotFound
from app.ids import inbox_id
from app.task_commands import (
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    RestoreTask,
    TaskCommand,
)

NO_TASK = "no such task"


async def create_task(request: Request) -> Response:
    """POST /api/tasks."""
    edge, user = edge_of(request), caller_of(request).user
    body = await read_object(request, edge.settings.body_limit_bytes)
    wish = validated(NewTask, body)
    refuse_if_match(request)
    list_id = wish.list_id or inbox_id(user)
    command = CreateTask.model_validate({**wish.model_dump(), "list_id": list_id})
    key = key_of(request, body)
    task_id = key.created_id if key else edge.new_id()
    result, wanted = await carry_out(request, command, f"task:{task_id}", key)
    return command_answer(request, result, wanted, status=201, location=f"/api/tasks/{task_id}")


async def get_task(request: Request) -> Response:
    """GET /api/tasks/{id}, now or then."""
    query = query_of(request, TaskQuery)
    edge, user, task_id = edge_of(request), caller_of(request).user, path_id(request, "task")
    if query.version is not None and query.as_of is not None:
        raise Malformed("give version or as_of, not both")
    if query.version is not None or query.as_of is not None:
        return await _task_then(request, query)
    found = await edge.tasks.one(user, task_id)
    if found is None:
        raise NotFound(NO_TASK)
    return state_answer(request, *found)


async def _task_then(request: Request, query: TaskQuery) -> Response:
    edge, user, task_id = edge_of(request), caller_of(request).user, path_id(request, "task")
    if query.version is not None:
        then = await edge.tasks.at_version(user, task_id, query.version)
    else:
        assert query.as_of is not None
        if query.as_of.tzinfo is None:
            raise Invalid([FieldError("as_of", "must have an offset, such as Z")])
        then = await edge.tasks.at_time(user, task_id, query.as_of)
    if then is None:
        raise NotFound("no such task at that version or time")
    return json_answer(then.state.encode(), version=then.version)


async def task_history(request: Request) -> Response:
    """GET /api/tasks/{id}/history; also of a deleted task."""
    query = query_of(request, HistoryQuery)
    task_id = path_id(request, "task")
    if not await edge_of(request).tasks.may_see(caller_of(request).user, task_id):
        raise NotFound(NO_TASK)
    return await history_answer(request, f"task:{task_id}", query)


async def edit_task(request: Request) -> Response:
    """PATCH /api/tasks/{id}."""
    task_id = path_id(request, "task")
    body = await read_object(request, edge_of(request).settings.body_limit_bytes, PATCH)
    return await _command(request, task_id, validated(EditTask, body), body)


async def delete_task(request: Request) -> Response:
    """DELETE /api/tasks/{id}."""
    return await _command(request, path_id(request, "task"), DeleteTask(), {}, status=204)


async def complete_task(request: Request) -> Response:
    """POST /api/tasks/{id}/complete."""
    return await _bare_command(request, CompleteTask)


async def reopen_task(request: Request) -> Response:
    """POST /api/tasks/{id}/reopen."""
    return await _bare_command(request, ReopenTask)


async def restore_task(request: Request) -> Response:
    """POST /api/tasks/{id}/restore."""
    return await _bare_command(request, RestoreTask)


async def move_task(request: Request) -> Response:
    """POST /api/tasks/{id}/move."""
    task_id = path_id(request, "task")
    body = await read_object(request, edge_of(request).settings.body_limit_bytes)
    return await _command(request, task_id, validated(MoveTask, body), body)


async def _bare_command(request: Request, command: type[CompleteTask | ReopenTask | RestoreTask]) -> Response:
    task_id = path_id(request, "task")
    body = await read_object(request, edge_of(request).settings.body_limit_bytes, JSON, optional=True)
    return await _command(request, task_id, validated(command, body), body)


async def _command(
    request: Request, task_id: str, command: TaskCommand, body: dict[str, Any], *, status: int = 200
) -> Response:
    result, wanted = await carry_out(request, command, f"task:{task_id}", key_of(request, body))
    return command_answer(request, result, wanted, status=status)
