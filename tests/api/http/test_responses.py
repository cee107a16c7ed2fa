"""Headers of responses, and responses while something is unavailable."""

from __future__ import annotations

import json

import asyncpg
import httpx
import pytest
from asyncpg.exceptions._base import DataError as ClientSideDataError

from api.http.dependencies import Dependencies
from app.ids import inbox_id
from tests.api.http_client import Broken, assert_problem, client_of, raw
from tests.api.memory_stack import World


async def test_creating_returns_201_with_its_headers(client: httpx.AsyncClient) -> None:
    """Location, ETag, position, correlation id, and no caching."""
    answer = await client.post(
        "/api/tasks", json={"title": "Buy milk"}, headers={"X-Correlation-ID": "abc-1"}
    )
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/tasks/{answer.json()['id']}"
    assert answer.headers["etag"] == '"1"'
    assert ":" in answer.headers["tasktape-position"]
    assert answer.headers["x-correlation-id"] == "abc-1"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_event_carries_correlation_and_trace_ids(client: httpx.AsyncClient, world: World) -> None:
    """An invalid trace context is left out."""
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for given, kept in ((trace, trace), ("00-0-0-01", None)):
        headers = {"X-Correlation-ID": "abc-2", "traceparent": given}
        task_id = (await client.post("/api/tasks", json={"title": "T"}, headers=headers)).json()["id"]
        [record] = world.accepted_of(f"task:{task_id}")
        assert (record.correlation_id, record.traceparent) == ("abc-2", kept)
        assert (record.actor, record.source) == ("alice", "/tasktape/api")


@pytest.mark.parametrize("given", ["x" * 129, "caf\u00e9".encode(), ""])
async def test_invalid_correlation_id_is_replaced(client: httpx.AsyncClient, given: str | bytes) -> None:
    """With one of ours."""
    answer = await client.get("/healthz", headers=raw("X-Correlation-ID", given))
    assert len(answer.headers["x-correlation-id"]) == 36


@pytest.mark.parametrize("kind", [asyncpg.DataError, ClientSideDataError])
async def test_values_that_the_database_refuses_are_500(
    client: httpx.AsyncClient, pool: Broken, kind: type[Exception]
) -> None:
    """Not an outage: repeating the request does not help."""
    pool.error = kind("value out of int32 range")
    assert_problem(await client.get("/api/tasks"), 500, "internal")


async def test_response_without_an_event_has_all_headers(client: httpx.AsyncClient, world: World) -> None:
    """Clients may rely on version and position after any command."""
    path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
    first = await client.post(f"{path}/complete")
    written = len(world.log.records)
    again = await client.post(f"{path}/complete")
    assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"])
    assert first.headers["tasktape-position"] in again.headers["tasktape-position"].split(",")
    assert len(world.log.records) == written


async def test_position_that_is_not_reached_is_503(client: httpx.AsyncClient) -> None:
    """After the wait that the caller prefers."""
    answer = await client.get("/api/me", headers={"Tasktape-Position": "0:999", "Prefer": "wait=0"})
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_unavailable_database_is_503(client: httpx.AsyncClient) -> None:
    """Clients may retry."""
    assert_problem(await client.get("/api/tasks"), 503, "unavailable")


async def test_internal_errors_reveal_nothing(client: httpx.AsyncClient, pool: Broken) -> None:
    """500 with an id, without traceback or message."""
    pool.error = ZeroDivisionError("the password is hunter2")
    answer = await client.get("/api/tasks")
    assert_problem(answer, 500, "internal")
    assert "hunter2" not in answer.text


async def test_unavailable_log_is_503(client: httpx.AsyncClient, world: World) -> None:
    """And nothing was written."""
    await client.get("/api/me")
    world.log.fails = "before"
    assert_problem(await client.post("/api/tasks", json={"title": "T"}), 503, "unavailable")


async def test_first_request_creates_the_inbox_once(deps: Dependencies, world: World) -> None:
    """When it is authenticated."""
    async with client_of(deps, "bob") as client:
        for _ in range(3):
            await client.get("/api/me")
    [record] = world.accepted_of(f"list:{inbox_id('bob')}")
    assert record.actor == "bob"
    assert len(world.log.records) == 1


async def test_readiness_names_the_failure(client: httpx.AsyncClient) -> None:
    """503; `lag` is unknown without the database; no token is needed."""
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert answer.json()["lag"] is None
    assert answer.json()["problems"] == ["the database does not answer"]
    assert answer.json()["node"] == "a node of tests"


async def test_stopping_process_is_not_ready(deps: Dependencies, client: httpx.AsyncClient) -> None:
    """Whatever else it can still serve."""
    deps.stopping.set()
    assert "this process stops" in (await client.get("/readyz")).json()["problems"]


async def test_refused_content_type_lists_the_accepted_ones(client: httpx.AsyncClient) -> None:
    """And that there is no content coding."""
    path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
    posted = await client.post("/api/tasks", content=b"{}", headers={"Content-Type": "text/xml"})
    assert posted.headers["accept-post"] == "application/json"
    patched = await client.patch(path, json={"notes": ""}, headers={"Content-Encoding": "gzip"})
    assert_problem(patched, 415, "unsupported_media_type")
    assert patched.headers["accept-patch"] == "application/merge-patch+json, application/json"
    assert patched.headers["accept-encoding"] == "identity"


async def test_content_location_names_the_resource_shown(client: httpx.AsyncClient) -> None:
    """The task, whatever the URL of the command: `ETag` is of that."""
    created = await client.post("/api/tasks", json={"title": "T"})
    path = created.headers["location"]
    assert created.headers["content-location"] == path
    done = await client.post(f"{path}/complete")
    assert (done.headers["content-location"], done.headers["etag"]) == (path, '"2"')
    assert "content-location" not in (await client.delete(path)).headers


async def test_documents_and_page_work_without_a_network(client: httpx.AsyncClient) -> None:
    """They load nothing from elsewhere, and the content security policy says so."""
    for path in ("/docs", "/"):
        page = await client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "//cdn" not in page.text
        assert 'src="http' not in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
    document = json.loads((await client.get("/openapi.json")).text)
    assert document["openapi"].startswith("3.1")
    sockets = json.loads((await client.get("/asyncapi.json")).text)
    assert sockets["asyncapi"] == "3.0.0"
