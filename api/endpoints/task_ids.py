"""Lookup of tasks by a part of their ids, over HTTP."""

from __future__ import annotations

from pydantic import (
    Field,
)
from starlette.requests import Request
from starlette.responses import Response

from api.http.dependencies import caller_of, dependencies_of
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from projections.queries.task_ids import TaskNames


class IdPartQuery(Query):
    """A part of task ids to look up."""

    part: str = Field(
        description="The beginning or the end of an id, at least four characters",
        pattern=r"^[0-9a-f-]{4,36}$",
        examples=["3f9a2c1"],
    )


async def task_ids(request: Request) -> Response:
    """GET /api/task-ids."""
    query = query_of(request, IdPartQuery)
    found, positions = await dependencies_of(request).tasks.by_id_part(caller_of(request).user, query.part)
    return object_answer(found, positions=positions)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/task-ids",
        task_ids,
        "Find tasks by the beginning or the end of their ids",
        "tasks",
        query=IdPartQuery,
        answers={200: TaskNames},
    ),
)
