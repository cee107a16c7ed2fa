"""Health of the process: liveness, readiness and metrics."""

from __future__ import annotations

import asyncio
from typing import Literal

from pydantic import (
    BaseModel,
)
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.projection_metrics import read_projection_metrics
from api.endpoints.readiness import Readiness, ReadinessQuery, find_readiness
from api.http.dependencies import dependencies_of
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from api.telemetry.prometheus import CONTENT_TYPE, text_of


class Health(BaseModel):
    """The state of a running process."""

    status: Literal["ok"] = "ok"


async def healthz(request: Request) -> Response:
    """GET /healthz: report that the process answers."""
    query_of(request, Query)
    return object_answer(Health())


async def readyz(request: Request) -> Response:
    """GET /readyz: report whether the process can serve and new records become visible immediately."""
    query = query_of(request, ReadinessQuery)
    readiness = await find_readiness(dependencies_of(request), lag_allowed=query.lag == "any")
    return object_answer(readiness, status=200 if readiness.ready else 503)


async def metrics(request: Request) -> Response:
    """GET /metrics: return the counters of this process and the state of projecting."""
    query_of(request, Query)
    deps = dependencies_of(request)
    projecting = await read_projection_metrics(deps)
    # Read counters here, where nothing changes meanwhile; format them in a thread, to keep the loop free.
    text = await asyncio.to_thread(text_of, [*deps.metrics.read(), *projecting])
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/healthz",
        healthz,
        "Check that the process answers",
        "operation",
        query=Query,
        public=True,
        answers={200: Health},
    ),
    Endpoint(
        "GET",
        "/readyz",
        readyz,
        "Check that everything behind the process works",
        "operation",
        query=ReadinessQuery,
        public=True,
        answers={200: Readiness, 503: Readiness},
    ),
    Endpoint(
        "GET",
        "/metrics",
        metrics,
        "Get the metrics of this process, for Prometheus",
        "operation",
        query=Query,
        public=True,
        answers={200: str},
    ),
)
