"""Tasks over HTTP: single tasks now and at earlier times, and the commands on them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import (
    Field,
)
from starlette.requests import Request
from starlette.responses import Response

from api.commands.load_context import NO_TASK
from api.commands.past_moments import TIME_FIELDS
from api.commands.side_effects import CommandedTask
from api.commands.task_actions import ACTIONS, ActionName, NewTask
from api.endpoints.history import EventPageOut, HistoryQuery, history_answer
from api.endpoints.quick_add import CreatedTask, CreateQuery, read_body, with_reading
from api.http.bodies import JSON, PATCH, read_object
from api.http.commands import carry_out, command_answer, command_request_of, key_of
from api.http.dependencies import caller_of, dependencies_of
from api.http.moments import MomentQuery, moment_of
from api.http.query import Query
from api.http.requests import path_id, query_of
from api.http.responses import json_answer
from api.http.routing import Endpoint, command
from app.errors import Malformed, NotFound
from app.stream_ids import task_stream
from app.tasks.commands import TaskPatch
from app.tasks.state import Task
from app.values import (
    Scope,
)
from projections.postgres.periods import Moment


class TaskQuery(MomentQuery):
    """A task now, at an earlier version or at an earlier time: at most one of them may be given."""

    version: int | None = Field(None, ge=1, le=2**53, description="The task after this number of its events")


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


NO_TASK_THEN = "no such task at that version or time"


async def get_task(request: Request) -> Response:
    """GET /api/tasks/{id}, now or at an earlier time."""
    query = query_of(request, TaskQuery)
    deps, user, task_id = dependencies_of(request), caller_of(request).user, path_id(request, "task")
    moment = moment_of(query)
    if query.version is not None and moment is not None:
        raise Malformed(f"give version or {TIME_FIELDS[moment.clock]}, not both")
    if query.version is not None or moment is not None:
        return await _task_then(request, query.version, moment)
    found = await deps.tasks.one(user, task_id)
    if found is None:
        raise NotFound(NO_TASK)
    state, positions = found
    return json_answer(state.json, version=state.version, positions=positions)


async def _task_then(request: Request, version: int | None, moment: Moment | None) -> Response:
    tasks, user, task_id = dependencies_of(request).tasks, caller_of(request).user, path_id(request, "task")
    if version is not None:
        then = await tasks.at_version(user, task_id, version)
    else:
        assert moment is not None
        then = await tasks.at_moment(user, task_id, moment)
    if then is None:
        raise NotFound(NO_TASK_THEN)
    return json_answer(then.json, version=then.version)


async def task_history(request: Request) -> Response:
    """GET /api/tasks/{id}/history; also of a deleted task."""
    query = query_of(request, HistoryQuery)
    task_id = path_id(request, "task")
    if not await dependencies_of(request).tasks.may_see(caller_of(request).user, task_id):
        raise NotFound(NO_TASK)
    return await history_answer(request, task_stream(task_id), query)


# --- commands --------------------------------------------------------------------------------------------


async def create_task(request: Request) -> Response:
    """POST /api/tasks."""
    query, deps = query_of(request, CreateQuery), dependencies_of(request)
    body = await read_object(request, deps.settings.body_limit_bytes)
    # A repeated command is recognized by its text: the date of "tomorrow" may have changed meanwhile.
    key, read = key_of(request, body), None
    if query.quick:
        body, read = await read_body(request, body, query.time_zone)
    command, stream = await deps.task_actions.command("create", body, caller_of(request).user, key)
    command_request = command_request_of(request, command, stream, key)
    result = await deps.commands.handle(command_request)
    return command_answer(request, command_request, result if read is None else with_reading(result, read))


async def edit_task(request: Request) -> Response:
    """PATCH /api/tasks/{id}."""
    query = query_of(request, EditQuery)
    return await act_on_task(request, "edit", PATCH, cascade=query.cascade, scope=query.scope)


async def delete_task(request: Request) -> Response:
    """DELETE /api/tasks/{id}."""
    cascade = query_of(request, CascadeQuery).cascade
    return await act_on_task(request, "delete", None, cascade=cascade)


async def act_on_task(
    request: Request,
    name: ActionName,
    types: Collection[str] | None = JSON,
    *,
    optional: bool = False,
    cascade: bool = False,
    scope: Scope | None = None,
) -> Response:
    """Carry out an action on the task in the path, with the request's body of one of `types`, if any."""
    deps, task_id = dependencies_of(request), path_id(request, "task")
    body: dict[str, Any] = {}
    if types is not None:
        body = await read_object(request, deps.settings.body_limit_bytes, types, optional=optional)
    user, key = caller_of(request).user, key_of(request, body)
    command, stream = await deps.task_actions.command(
        name, body, user, key, target_id=task_id, cascade=cascade, scope=scope
    )
    return await carry_out(request, command, stream, key)


# --- the table -------------------------------------------------------------------------------------------

_TASK = "/api/tasks/{id}"
_ID = "0190f3c0-0000-7000-8000-000000000000"


def _action(
    name: ActionName,
    operation: str,
    summary: str,
    query: type[Query] = Query,
    *,
    optional: bool = True,
    **rest: Any,
) -> Endpoint:
    """Return the endpoint of an action on a task; `optional` is its body, and `operation` its handler."""

    async def act(request: Request) -> Response:
        given = query_of(request, query)
        cascade = isinstance(given, CascadeQuery) and given.cascade
        return await act_on_task(request, name, optional=optional, cascade=cascade)

    act.__name__ = operation
    rest = {"answers": {200: CommandedTask}, **rest}
    body = ACTIONS[name].body
    return command(
        "POST", f"{_TASK}/{name}", act, summary, body=body, body_optional=optional, query=query, **rest
    )


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
    _action("complete", "complete_task", "Complete a task", CascadeQuery),
    _action("reopen", "reopen_task", "Reopen a task"),
    _action("restore", "restore_task", "Restore a deleted task", CascadeQuery),
    _action(
        "move",
        "move_task",
        "Move a task in the order of its list, or to another list or stage; sub-tasks follow",
        CascadeQuery,
        optional=False,
        example={"after": _ID, "stage": "Doing"},
    ),
    _action("skip", "skip_occurrence", "Skip this occurrence of a recurring task"),
    _action(
        "undo",
        "undo_change",
        "Undo a change of your own: the newest, or any that is still in effect",
        example={"version": 3},
        answers={200: CommandedTask | None},
    ),
)
