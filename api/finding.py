"""Finding tasks over HTTP."""

from __future__ import annotations

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from api.answers import page_answer
from api.asking import instant, query_of
from api.cursors import decode_cursor, encode_cursor
from api.edge import caller_of, edge_of
from api.schemas import TaskPageQuery
from app.errors import NotFound
from app.ids import inbox_id
from app.updates import state_json
from projections.task_queries import Place, SortKey, TaskFilter


async def list_tasks(request: Request) -> Response:
    """GET /api/tasks."""
    query = query_of(request, TaskPageQuery)
    edge, user = edge_of(request), caller_of(request).user
    if (
        query.list_id
        and query.list_id != inbox_id(user)
        and not await edge.lists.may_see(user, query.list_id)
    ):
        raise NotFound("no such list")
    fingerprint = query.model_dump_json(exclude={"cursor", "limit"})
    descending, key = query.sort.startswith("-"), query.sort.removeprefix("-")
    page = await edge.tasks.page(
        user,
        _filter(query),
        sort=key,  # type: ignore[arg-type]
        descending=descending,
        after=None if query.cursor is None else _place(fingerprint, query.cursor, key),  # type: ignore[arg-type]
        limit=query.limit,
    )
    end = None if page.end is None else encode_cursor(fingerprint, [page.end.value, page.end.id])
    return page_answer([state_json(task) for task in page.items], end, page.positions)


def _filter(query: TaskPageQuery) -> TaskFilter:
    return TaskFilter(
        list_id=query.list_id,
        status=query.status,
        stage=query.stage,
        tags=query.tag,
        assignee=query.assignee,
        priority=query.priority,
        due_before=instant("due_before", query.due_before, end_of_day=False),
        due_after=instant("due_after", query.due_after, end_of_day=True),
    )


def _place(fingerprint: str, cursor: str, key: SortKey) -> Place:
    value, identifier = decode_cursor(fingerprint, cursor, 2)
    if key in ("created_at", "updated_at", "due") and value is not None:
        value = datetime.fromisoformat(value)
    return Place(value, identifier)
