"""SQL over the audit: `POST /api/audit/sql`, for administrators and auditors."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.http.bodies import read_object
from api.http.dependencies import caller_of, dependencies_of
from api.http.problems import TooMany
from api.http.query import Query
from api.http.requests import query_of
from api.http.routing import Endpoint
from api.transports.sse.response import gone
from app.validation import validated
from projections.audit_sql.limits import AT_ONCE, MAX_ROWS, USUAL_ROWS
from projections.audit_sql.results import Format
from projections.audit_sql.statements import MAX_CHARS, check_statement

T = TypeVar("T")

MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
TRUNCATED = "Tasktape-Truncated"
"""The header that says whether the statement has more rows."""


class SqlQuery(BaseModel):
    """A statement, and the form of its result."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sql: Annotated[str, Field(min_length=1, max_length=MAX_CHARS)] = Field(
        description="One query: SELECT, WITH, VALUES or TABLE", examples=["select count(*) from events"]
    )
    format: Format = Field("json", description="The format of the result")
    limit: int = Field(USUAL_ROWS, ge=1, le=MAX_ROWS, description="The most rows to return")


class SqlColumn(BaseModel):
    """A column of a result: its name, and its type in PostgreSQL."""

    name: str
    type: str


class SqlResult(BaseModel):
    """The rows of a statement, each with a value for each column."""

    columns: list[SqlColumn] = Field(description="The columns, in order")
    rows: list[list[Any]] = Field(description="The rows, each with a value for each column")
    truncated: bool = Field(description="True if the statement has more rows")


async def sql(request: Request) -> Response:
    """POST /api/audit/sql."""
    query_of(request, Query)
    deps = dependencies_of(request)
    wanted = validated(SqlQuery, await read_object(request, deps.settings.body_limit_bytes))
    if deps.audit_sql.is_busy:
        raise TooMany(f"{AT_ONCE} statements are running here already; try again in a moment")
    check_statement(wanted.sql)
    await deps.access.record(caller_of(request).user, "sql", wanted.sql)
    result = await while_connected(request, deps.audit_sql.run(wanted.sql, wanted.format, wanted.limit))
    headers = {TRUNCATED: str(result.truncated).lower(), "Cache-Control": "no-store"}
    return Response(result.body, media_type=MEDIA_TYPES[wanted.format], headers=headers)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of some work, and stop it when the client goes. Raise `ClientDisconnect` then."""
    task, left = asyncio.create_task(work), asyncio.create_task(gone(request.receive))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, left):
            each.cancel()
        await asyncio.wait({task, left})


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/api/audit/sql",
        sql,
        "Query the views of the audit with SQL",
        "audit",
        body=SqlQuery,
        query=Query,
        audit=True,
        problems=(TooMany,),
        example={"sql": "select type, count(*) from events group by type order by 2 desc", "limit": 10},
        answers={200: SqlResult},
    ),
)
