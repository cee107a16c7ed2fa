"""A client of the application on a log in memory, and what its refusals have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from api.http.dependencies import Dependencies
from api.main import application
from tasktape.local.tokens import mint

SECRET = "a secret of the tests that is long enough"
LIMIT_BYTES = 1024
ID = "0190f3c0-0000-7000-8000-000000000000"


class Broken:
    """A pool that fails in a given way, for tests that do not depend on reads."""

    def __init__(self) -> None:
        self.error: BaseException = ConnectionRefusedError("nobody listens")

    def __getattr__(self, name: str) -> Any:
        raise self.error


@asynccontextmanager
async def client_of(
    deps: Dependencies, user: str | None = "alice", **claims: Any
) -> AsyncIterator[httpx.AsyncClient]:
    app = application(deps.settings)
    app.state.deps = deps
    headers = {}
    if user is not None:
        token = mint(SECRET, user, **{"admin": False, "ttl_s": 60, **claims})
        headers["Authorization"] = f"Bearer {token}"
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://tasktape.test", headers=headers
    ) as client:
        yield client


def raw(name: str, value: str | bytes) -> dict[bytes, bytes]:
    return {name.encode(): value if isinstance(value, bytes) else value.encode()}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:tasktape:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["correlation_id"] == answer.headers["x-correlation-id"]
    return problem
