"""Comments over HTTP. A comment changes its task: the response is the task."""

from __future__ import annotations

from datetime import datetime

from pydantic import (
    BaseModel,
    TypeAdapter,
)
from starlette.requests import Request
from starlette.responses import Response

from api.commands.load_context import NO_TASK
from api.commands.side_effects import CommandedTask
from api.commands.task_actions import NewComment
from api.endpoints.tasks import NO_TASK_THEN, act_on_task
from api.http.bodies import PATCH, read_object
from api.http.commands import carry_out, key_of
from api.http.cursors import TIME_AND_ID, decode_cursor, encode_cursor
from api.http.dependencies import caller_of, dependencies_of
from api.http.moments import MomentQuery, moment_of
from api.http.query import PageQuery, Query
from api.http.requests import path_id, query_of
from api.http.responses import object_answer, page_answer
from api.http.routing import Endpoint, command
from app.errors import NotFound
from app.ids import is_uuid
from app.stream_ids import task_stream
from app.tasks.commands import DeleteComment, EditComment
from app.validation import validated
from projections.postgres.periods import Moment
from projections.read_models.comments import Comment, CommentPage


class CommentPageQuery(PageQuery, MomentQuery):
    """A selection of the comments on a task, now or at an earlier time."""


class CommentPageOut(BaseModel):
    """Comments, oldest first, and the positions they were read at."""

    items: list[Comment]
    next_cursor: str | None
    positions: dict[str, int]


_COMMENT = TypeAdapter(Comment)
NO_COMMENT = "no such comment"


async def list_comments(request: Request) -> Response:
    """GET /api/tasks/{id}/comments."""
    query = query_of(request, CommentPageQuery)
    task_id, moment = path_id(request, "task"), moment_of(query)
    fingerprint, after = f"comments {task_id} {moment or ''}", None
    if query.cursor is not None:
        after = decode_cursor(fingerprint, query.cursor, TIME_AND_ID)
    page = await _page(request, task_id, moment, after, query.limit)
    if page is None:
        raise NotFound(NO_TASK if moment is None else NO_TASK_THEN)
    end = encode_cursor(fingerprint, [page.items[-1].created_at, page.items[-1].id]) if page.more else None
    return page_answer([_COMMENT.dump_json(each) for each in page.items], end, page.positions)


async def _page(
    request: Request, task_id: str, moment: Moment | None, after: tuple[datetime, str] | None, limit: int
) -> CommentPage | None:
    """Return a page of comments, or None if the caller may not see the task, or it is or was deleted."""
    deps, user = dependencies_of(request), caller_of(request).user
    if moment is None:
        return await deps.comments.page(user, task_id, after=after, limit=limit)
    task = await deps.tasks.at_moment(user, task_id, moment)
    if task is None or task.decode().deleted_at is not None:
        return None
    return await deps.comments.page_at(task_id, task.version, after=after, limit=limit)


async def get_comment(request: Request) -> Response:
    """GET /api/tasks/{id}/comments/{comment_id}."""
    query_of(request, Query)
    task_id, user = path_id(request, "task"), caller_of(request).user
    found = await dependencies_of(request).comments.one(user, task_id, _comment_id(request))
    if found is None:
        raise NotFound(NO_COMMENT)
    return object_answer(found[0], positions=found[1])


async def add_comment(request: Request) -> Response:
    """POST /api/tasks/{id}/comments."""
    query_of(request, Query)
    return await act_on_task(request, "comment")


async def edit_comment(request: Request) -> Response:
    """PATCH /api/tasks/{id}/comments/{comment_id}."""
    query_of(request, Query)
    stream, comment_id = task_stream(path_id(request, "task")), _comment_id(request)
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes, PATCH)
    command = EditComment(comment_id=comment_id, text=validated(NewComment, body).text)
    return await carry_out(request, command, stream, key_of(request, body))


async def delete_comment(request: Request) -> Response:
    """DELETE /api/tasks/{id}/comments/{comment_id}."""
    query_of(request, Query)
    stream, comment_id = task_stream(path_id(request, "task")), _comment_id(request)
    command = DeleteComment(comment_id=comment_id)
    return await carry_out(request, command, stream, key_of(request, {}))


def _comment_id(request: Request) -> str:
    """Return the comment's id in the path. Raise `NotFound` if it is not a valid id."""
    comment_id: str = request.path_params["comment_id"]
    if not is_uuid(comment_id):
        raise NotFound(NO_COMMENT)
    return comment_id


_TASK = "/api/tasks/{id}"
_ONE_COMMENT = f"{_TASK}/comments/{{comment_id}}"

ENDPOINTS: tuple[Endpoint, ...] = (
    command(
        "POST",
        f"{_TASK}/comments",
        add_comment,
        "Comment on a task; `@name` mentions a member of its list",
        body=NewComment,
        example={"text": "@bob, could you take this one?"},
        query=Query,
        answers={201: CommandedTask},
    ),
    Endpoint(
        "GET",
        f"{_TASK}/comments",
        list_comments,
        "List the comments on a task, oldest first, now or then",
        "tasks",
        query=CommentPageQuery,
        answers={200: CommentPageOut},
    ),
    Endpoint("GET", _ONE_COMMENT, get_comment, "Get a comment", "tasks", query=Query, answers={200: Comment}),
    command(
        "PATCH",
        _ONE_COMMENT,
        edit_comment,
        "Edit a comment of your own",
        body=NewComment,
        body_types=PATCH,
        example={"text": "@bob and @carol, could you take this one?"},
        query=Query,
        answers={200: CommandedTask},
    ),
    command(
        "DELETE",
        _ONE_COMMENT,
        delete_comment,
        "Delete a comment of your own, or anyone's as an owner of the list",
        query=Query,
        answers={204: None},
    ),
)
