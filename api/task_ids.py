"""Tasks by a part of their ids, over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.answers import object_answer
from api.asking import query_of
from api.edge import caller_of, edge_of
from api.schemas import IdPartQuery


async def task_ids(request: Request) -> Response:
    """GET /api/task-ids."""
    query = query_of(request, IdPartQuery)
    found, positions = await edge_of(request).tasks.by_id_part(caller_of(request).user, query.part)
    return object_answer(found, positions=positions)
