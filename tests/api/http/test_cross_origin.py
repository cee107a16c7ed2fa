"""Requests of other origins, and the methods of each path."""

from __future__ import annotations

import httpx
import pytest

from api.http.dependencies import Dependencies
from tests.api.http_client import ID, assert_problem, client_of

PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization, if-match, if-none-match, idempotency-key, prefer,"
    " tasktape-position, x-correlation-id, traceparent, content-type",
}


async def test_other_origins_are_checked(client: httpx.AsyncClient) -> None:
    """Those of CORS_ORIGIN may read responses and their headers; others may not."""
    allowed = await client.get("/api/me", headers={"Origin": "https://app.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "ETag" in allowed.headers["access-control-expose-headers"]
    preflight = await client.options("/api/tasks", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert {"PATCH", "PUT", "DELETE", "HEAD"} <= set(
        preflight.headers["access-control-allow-methods"].split(", ")
    )
    allowed_headers = preflight.headers["access-control-allow-headers"].lower().split(", ")
    assert set(PREFLIGHT["Access-Control-Request-Headers"].split(", ")) <= set(allowed_headers)
    other = await client.get("/api/me", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"Origin": "https://evil.example"}, "https://evil.example"),
        ({"Access-Control-Request-Method": "TRACE"}, "TRACE"),
        ({"Access-Control-Request-Headers": "x-forwarded-for"}, "if-match"),
    ],
)
async def test_refused_preflight_is_a_problem(
    client: httpx.AsyncClient, changed: dict[str, str], said: str
) -> None:
    """It says what is not allowed, and what is."""
    answer = await client.options("/api/tasks", headers=PREFLIGHT | changed)
    assert said in assert_problem(answer, 403, "cors_refused")["detail"]
    assert "Origin" in answer.headers["vary"]


async def test_responses_vary_by_origin(deps: Dependencies) -> None:
    """Also those without one, errors and preflights."""
    async with client_of(deps) as client:
        for method, path in (
            ("GET", "/healthz"),
            ("GET", "/api/nothing"),
            ("GET", "/"),
            ("POST", "/api/tasks"),
        ):
            answer = await client.request(method, path)
            assert "origin" in answer.headers["vary"].lower(), path


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/tasks", "GET, HEAD, OPTIONS, POST"),
        (f"/api/tasks/{ID}", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        (f"/api/lists/{ID}/members/bob", "DELETE, OPTIONS, PUT"),
        ("/api/bulk", "OPTIONS, POST"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
        ("/page/app.js", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_lists_the_methods_of_every_path(deps: Dependencies, path: str, allowed: str) -> None:
    """Without a token; a method that is not allowed gets the same list."""
    async with client_of(deps, None) as client:
        answer = await client.options(path)
        assert (answer.status_code, answer.content, answer.headers["allow"]) == (204, b"", allowed)
        other = await client.request("TRACE", path)
        assert_problem(other, 405, "method_not_allowed")
        assert other.headers["allow"] == allowed
        assert_problem(await client.options("/api/nothing"), 404, "not_found")


async def test_problems_are_readable_by_other_origins(client: httpx.AsyncClient) -> None:
    """Browsers hide responses without these headers."""
    answer = await client.get("/api/nothing", headers={"Origin": "https://app.example"})
    assert_problem(answer, 404, "not_found")
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
