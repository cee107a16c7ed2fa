"""Tasks over HTTP: single ones as they are and were, and the commands on them."""

from __future__ import annotations

from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import Response

from api.answers import command_answer, json_answer, state_answer
from api.asking import key_of, path_id, preference_of, query_of, terms_of
from api.bodies import JSON, PATCH, read_object
from api.command_requests import Effect, NotYetVisible
from api.edge import caller_of, edge_of
from api.headers import Preference
from api.histories import history_answer
from api.quick import CreateQuery, read_body, with_reading
from api.schemas import CascadeQuery, EditQuery, HistoryQuery, Query, TaskQuery, WishName
from api.surroundings import NO_TASK
from api.wishes import Granted, Wish
from app.errors import Malformed, NotFound
from app.values import Scope


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
    return state_answer(*found)


async def _task_then(request: Request, query: TaskQuery) -> Response:
    edge, user, task_id = edge_of(request), caller_of(request).user, path_id(request, "task")
    if query.version is not None:
        then = await edge.tasks.at_version(user, task_id, query.version)
    else:
        assert query.as_of is not None
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


# --- commands --------------------------------------------------------------------------------------------


async def create_task(request: Request) -> Response:
    """POST /api/tasks."""
    query = query_of(request, CreateQuery)
    body = await read_object(request, edge_of(request).settings.body_limit_bytes)
    if not query.quick:
        return await grant(request, Wish("create", None, body))
    # A repetition is known by its text: what "tomorrow" is may have changed meanwhile.
    key = key_of(request, body)
    fields, read = await read_body(request, body, query.time_zone)
    wanted = preference_of(request)
    granted = await edge_of(request).wishes.grant(
        Wish("create", None, fields), terms_of(request, wanted, key)
    )
    return _answer(request, granted, wanted, with_reading(granted.done.result, read))


async def edit_task(request: Request) -> Response:
    """PATCH /api/tasks/{id}."""
    query = query_of(request, EditQuery)
    return await _command(request, "edit", PATCH, cascade=query.cascade, scope=query.scope)


async def delete_task(request: Request) -> Response:
    """DELETE /api/tasks/{id}."""
    cascade = query_of(request, CascadeQuery).cascade
    return await grant(request, Wish("delete", path_id(request, "task"), {}, cascade))


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
    name: WishName,
    types: Collection[str] = JSON,
    *,
    optional: bool = False,
    cascade: bool = False,
    scope: Scope | None = None,
) -> Response:
    """A wish for the task in the path, with what the body says of it."""
    task_id = path_id(request, "task")
    limit_bytes = edge_of(request).settings.body_limit_bytes
    body = await read_object(request, limit_bytes, types, optional=optional)
    return await grant(request, Wish(name, task_id, body, cascade, scope))


async def grant(request: Request, wish: Wish) -> Response:
    """Carry out a wish as the request's headers want it, and answer."""
    wanted = preference_of(request)
    terms = terms_of(request, wanted, key_of(request, wish.body))
    granted = await edge_of(request).wishes.grant(wish, terms)
    return _answer(request, granted, wanted, granted.done.result)


def _answer(
    request: Request, granted: Granted, wanted: Preference, result: Effect | NotYetVisible
) -> Response:
    return command_answer(
        request,
        result,
        wanted,
        status=granted.status,
        location=granted.location,
        positions=granted.done.positions,
    )
