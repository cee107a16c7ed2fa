"""Tasks over HTTP: single tasks now and at earlier times, and the commands on them."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import (
    Field,
)
from starlette.requests import Request
from starlette.responses import Response

from api.commands.load_context import NO_TASK
from api.commands.requests import Applied, Pending
from api.commands.side_effects import CommandedTask
from api.commands.task_actions import ActionName, ActionResult, NewTask, Nothing, TaskAction
from api.endpoints.history import EventPageOut, HistoryQuery, history_answer
from api.endpoints.quick_add import CreatedTask, CreateQuery, read_body, with_reading
from api.http.bodies import JSON, PATCH, read_object
from api.http.dependencies import caller_of, dependencies_of
from api.http.headers import Preference
from api.http.query import Instant, Query
from api.http.requests import key_of, path_id, preference_of, query_of, terms_of
from api.http.responses import command_answer, json_answer, state_answer
from api.http.routing import Endpoint, command
from app.errors import Malformed, NotFound
from app.tasks.commands import ChangeToUndo, NewPlace, TaskPatch
from app.tasks.state import Task
from app.values import (
    Scope,
)


class TaskQuery(Query):
    """A task now or at an earlier time: at most one of the two may be given."""

    version: int | None = Field(None, ge=1, le=2**53, description="The task after this number of its events")
    as_of: Instant | None = Field(None, description="The task as of this time, RFC 3339")


class CascadeQuery(Query):
    """An option to include sub-tasks."""

    cascade: bool = Field(False, description="Include sub-tasks")


class EditQuery(CascadeQuery):
    """The occurrences of a recurring task that an edit applies to."""

    cascade: bool = Field(False, description="Include open sub-tasks if the stage completes the task")
    scope: Scope | None = Field(
        None,
        description="`this` occurrence only, or all `following` too; by default a due date changes"
        " this one only, and other fields all",
    )


async def get_task(request: Request) -> Response:
    """GET /api/tasks/{id}, now or at an earlier time."""
    query = query_of(request, TaskQuery)
    deps, user, task_id = dependencies_of(request), caller_of(request).user, path_id(request, "task")
    if query.version is not None and query.as_of is not None:
        raise Malformed("give version or as_of, not both")
    if query.version is not None or query.as_of is not None:
        return await _task_then(request, query)
    found = await deps.tasks.one(user, task_id)
    if found is None:
        raise NotFound(NO_TASK)
    return state_answer(*found)


async def _task_then(request: Request, query: TaskQuery) -> Response:
    deps, user, task_id = dependencies_of(request), caller_of(request).user, path_id(request, "task")
    if query.version is not None:
        then = await deps.tasks.at_version(user, task_id, query.version)
    else:
        assert query.as_of is not None
        then = await deps.tasks.at_time(user, task_id, query.as_of)
    if then is None:
        raise NotFound("no such task at that version or time")
    return json_answer(then.state.encode(), version=then.version)


async def task_history(request: Request) -> Response:
    """GET /api/tasks/{id}/history; also of a deleted task."""
    query = query_of(request, HistoryQuery)
    task_id = path_id(request, "task")
    if not await dependencies_of(request).tasks.may_see(caller_of(request).user, task_id):
        raise NotFound(NO_TASK)
    return await history_answer(request, f"task:{task_id}", query)


# --- commands --------------------------------------------------------------------------------------------


async def create_task(request: Request) -> Response:
    """POST /api/tasks."""
    query = query_of(request, CreateQuery)
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes)
    if not query.quick:
        return await execute(request, TaskAction("create", None, body))
    # A repeated command is recognized by its text: the date of "tomorrow" may have changed meanwhile.
    key = key_of(request, body)
    fields, read = await read_body(request, body, query.time_zone)
    wanted = preference_of(request)
    executed = await dependencies_of(request).task_actions.execute(
        TaskAction("create", None, fields), terms_of(request, wanted, key)
    )
    return _answer(request, executed, wanted, with_reading(executed.done.result, read))


async def edit_task(request: Request) -> Response:
    """PATCH /api/tasks/{id}."""
    query = query_of(request, EditQuery)
    return await _command(request, "edit", PATCH, cascade=query.cascade, scope=query.scope)


async def delete_task(request: Request) -> Response:
    """DELETE /api/tasks/{id}."""
    cascade = query_of(request, CascadeQuery).cascade
    return await execute(request, TaskAction("delete", path_id(request, "task"), {}, cascade))


async def complete_task(request: Request) -> Response:
    """POST /api/tasks/{id}/complete."""
    cascade = query_of(request, CascadeQuery).cascade
    return await _command(request, "complete", optional=True, cascade=cascade)


async def reopen_task(request: Request) -> Response:
    """POST /api/tasks/{id}/reopen."""
    query_of(request, Query)
    return await _command(request, "reopen", optional=True)


async def restore_task(request: Request) -> Response:
    """POST /api/tasks/{id}/restore."""
    cascade = query_of(request, CascadeQuery).cascade
    return await _command(request, "restore", optional=True, cascade=cascade)


async def move_task(request: Request) -> Response:
    """POST /api/tasks/{id}/move."""
    return await _command(request, "move", cascade=query_of(request, CascadeQuery).cascade)


async def skip_occurrence(request: Request) -> Response:
    """POST /api/tasks/{id}/skip."""
    query_of(request, Query)
    return await _command(request, "skip", optional=True)


async def undo_change(request: Request) -> Response:
    """POST /api/tasks/{id}/undo."""
    query_of(request, Query)
    return await _command(request, "undo", optional=True)


async def _command(
    request: Request,
    name: ActionName,
    types: Collection[str] = JSON,
    *,
    optional: bool = False,
    cascade: bool = False,
    scope: Scope | None = None,
) -> Response:
    """Carry out an action on the task in the path, with the request's body."""
    task_id = path_id(request, "task")
    limit_bytes = dependencies_of(request).settings.body_limit_bytes
    body = await read_object(request, limit_bytes, types, optional=optional)
    return await execute(request, TaskAction(name, task_id, body, cascade, scope))


async def execute(request: Request, action: TaskAction) -> Response:
    """Carry out an action as the request's headers specify, and answer."""
    wanted = preference_of(request)
    terms = terms_of(request, wanted, key_of(request, action.body))
    executed = await dependencies_of(request).task_actions.execute(action, terms)
    return _answer(request, executed, wanted, executed.done.result)


def _answer(
    request: Request, executed: ActionResult, wanted: Preference, result: Applied | Pending
) -> Response:
    return command_answer(
        request,
        result,
        wanted,
        status=executed.status,
        location=executed.location,
        positions=executed.done.positions,
    )


_TASK = "/api/tasks/{id}"
_ID = "0190f3c0-0000-7000-8000-000000000000"

ENDPOINTS: tuple[Endpoint, ...] = (
    command(
        "POST",
        "/api/tasks",
        create_task,
        "Create a task; a sub-task is added to its parent's list",
        body=NewTask,
        example={"title": "Buy milk", "due": "2026-12-01", "tags": ["shop"], "assignees": ["bob"]},
        query=CreateQuery,
        versioned=False,
        answers={201: CreatedTask},
    ),
    Endpoint(
        "GET",
        _TASK,
        get_task,
        "Get a task, now or at an earlier time",
        "tasks",
        query=TaskQuery,
        answers={200: Task},
    ),
    command(
        "PATCH",
        _TASK,
        edit_task,
        "Edit a task (JSON merge patch)",
        body=TaskPatch,
        body_types=PATCH,
        example={"title": "Buy oat milk", "due": None},
        query=EditQuery,
        answers={200: CommandedTask},
    ),
    command(
        "DELETE",
        _TASK,
        delete_task,
        "Delete a task; it can be restored",
        query=CascadeQuery,
        answers={204: None},
    ),
    Endpoint(
        "GET",
        f"{_TASK}/history",
        task_history,
        "Get the events of a task, also of a deleted task",
        "tasks",
        query=HistoryQuery,
        answers={200: EventPageOut},
    ),
    command(
        "POST",
        f"{_TASK}/complete",
        complete_task,
        "Complete a task",
        body=Nothing,
        body_optional=True,
        query=CascadeQuery,
        answers={200: CommandedTask},
    ),
    command(
        "POST",
        f"{_TASK}/reopen",
        reopen_task,
        "Reopen a task",
        body=Nothing,
        body_optional=True,
        query=Query,
        answers={200: CommandedTask},
    ),
    command(
        "POST",
        f"{_TASK}/restore",
        restore_task,
        "Restore a deleted task",
        body=Nothing,
        body_optional=True,
        query=CascadeQuery,
        answers={200: CommandedTask},
    ),
    command(
        "POST",
        f"{_TASK}/move",
        move_task,
        "Move a task in the order of its list, or to another list or stage; sub-tasks follow",
        body=NewPlace,
        example={"after": _ID, "stage": "Doing"},
        query=CascadeQuery,
        answers={200: CommandedTask},
    ),
    command(
        "POST",
        f"{_TASK}/skip",
        skip_occurrence,
        "Skip this occurrence of a recurring task",
        body=Nothing,
        body_optional=True,
        query=Query,
        answers={200: CommandedTask},
    ),
    command(
        "POST",
        f"{_TASK}/undo",
        undo_change,
        "Undo a change of your own: the newest, or any that is still in effect",
        body=ChangeToUndo,
        body_optional=True,
        example={"version": 3},
        query=Query,
        answers={200: CommandedTask | None},
    ),
)
