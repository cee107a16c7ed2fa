"""Edge of HTTP on a log in memory: refusals and response headers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from asyncpg.exceptions._base import DataError as ClientSideDataError

from api.http.dependencies import Dependencies
from api.main import application
from app.ids import inbox_id
from app.settings import Settings
from tasktape.local.tokens import mint
from tests.api.memory_stack import World, dependencies_on

PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization, if-match, if-none-match, idempotency-key, prefer,"
    " tasktape-position, x-correlation-id, traceparent, content-type",
}
SECRET = "a secret of the tests that is long enough"
LIMIT_BYTES = 1024
ID = "0190f3c0-0000-7000-8000-000000000000"


class Broken:
    """A pool that fails in a given way, for tests that do not depend on reads."""

    def __init__(self) -> None:
        self.error: BaseException = ConnectionRefusedError("nobody listens")

    def __getattr__(self, name: str) -> Any:
        raise self.error


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running() as running:
        yield running


@pytest.fixture
def pool() -> Broken:
    return Broken()


@pytest.fixture
def deps(world: World, pool: Broken) -> Dependencies:
    settings = Settings(
        jwt_secret=SECRET,
        body_limit_bytes=LIMIT_BYTES,
        cors_origin=("https://app.example",),
        command_wait_ms=2000,
    )
    return dependencies_on(world, world.node(), settings, pool)


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


@pytest.fixture
async def client(deps: Dependencies) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(deps) as found:
        yield found


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


@pytest.mark.parametrize(
    "token", ["", "nonsense", mint("another secret of thirty-two chars", "alice", admin=True, ttl_s=60)]
)
async def test_request_without_a_valid_token_is_401(deps: Dependencies, token: str) -> None:
    """Any path and method; the response says what to send."""
    async with client_of(deps, None) as client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for method, path in (
            *(("GET", "/api/tasks"), ("POST", "/api/tasks"), ("GET", f"/api/tasks/{ID}")),
            *(("PATCH", f"/api/tasks/{ID}"), ("GET", "/api/lists"), ("GET", "/api/me")),
            *(("GET", "/api/outcomes/0:1"), ("GET", "/api/dead-letters")),
        ):
            answer = await client.request(method, path, headers=headers)
            assert_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_token_in_the_query_is_refused(deps: Dependencies) -> None:
    """URLs end up in logs."""
    async with client_of(deps, None) as client:
        token = mint(SECRET, "alice", admin=False, ttl_s=60)
        assert_problem(await client.get("/api/me", params={"token": token}), 401, "unauthenticated")


async def test_administration_is_for_administrators(deps: Dependencies) -> None:
    """403 for others."""
    async with client_of(deps) as client:
        for method, path in (
            ("GET", "/api/dead-letters"),
            ("POST", "/api/dead-letters/0:1/retry"),
            ("POST", "/api/dead-letters/0:1/skip"),
        ):
            assert_problem(await client.request(method, path), 403, "forbidden")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "malformed"),
        (b"{", "application/json", 400, "malformed"),
        (b"[]", "application/json", 400, "malformed"),
        (b'"title"', "application/json", 400, "malformed"),
        (b'{"title": "\xff"}', "application/json", 400, "malformed"),
        (b'{"title": "a", "title": "b"}', "application/json", 400, "malformed"),
        (b'{"title": "a", "tags": [{"x": 1, "x": 2}]}', "application/json", 400, "malformed"),
        (b'{"title": NaN}', "application/json", 400, "malformed"),
        (b'{"title": Infinity}', "application/json", 400, "malformed"),
        (b'{"title": ' + b"[" * 900, "application/json", 400, "malformed"),
        (b'{"title": "a"}', "text/plain", 415, "unsupported_media_type"),
        (b'{"title": "a"}', "", 415, "unsupported_media_type"),
        (b'{"title": "a"}', "application/json; charset=latin-1", 415, "unsupported_media_type"),
        (b'{"title": "' + b"a" * LIMIT_BYTES + b'"}', "application/json", 413, "body_too_large"),
        (b'{"title": ""}', "application/json", 422, "invalid"),
        (b'{"title": "   "}', "application/json", 422, "invalid"),
        (b'{"title": 7}', "application/json", 422, "invalid"),
        (b'{"title": null}', "application/json", 422, "invalid"),
        (b'{"title": "a\\u0000b"}', "application/json", 422, "invalid"),
        (b'{"title": "\\ud800"}', "application/json", 422, "invalid"),
        (b"{}", "application/json", 422, "invalid"),
        (b'{"title": "a", "id": "b"}', "application/json", 422, "invalid"),
        (b'{"title": "a", "due": "tomorrow"}', "application/json", 422, "invalid"),
        (b'{"title": "a", "priority": 1e999}', "application/json", 422, "invalid"),
        (b'{"title": "a", "list_id": "x"}', "application/json", 422, "invalid"),
    ],
)
async def test_invalid_bodies_are_refused(
    client: httpx.AsyncClient, world: World, body: bytes, content_type: str, status: int, code: str
) -> None:
    """Each with its own status, and nothing is written."""
    headers = {"Content-Type": content_type} if content_type else {}
    assert_problem(await client.post("/api/tasks", content=body, headers=headers), status, code)
    assert [raw.stream for raw in world.log.records] == [f"list:{inbox_id('alice')}"]


async def test_all_invalid_fields_are_named(client: httpx.AsyncClient) -> None:
    """By their paths, in plain words."""
    body = {"title": "", "priority": "now", "tags": ["ok", ""], "color": "red"}
    problem = assert_problem(await client.post("/api/tasks", json=body), 422, "invalid")
    errors = {each["field"]: each["message"] for each in problem["errors"]}
    assert set(errors) == {"title", "priority", "tags.1", "color"}
    assert errors["color"] == "is not a field that can be set here"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("tags", "home", "should be a list"),
        ("tags", ["x"] * 51, "should have at most 50 items"),
        ("reminders", ["1h"], "should be an object"),
        (
            "reminders",
            [{"at": "2026-12-01"}],
            "must be a date-time with an offset (2026-12-01T09:00:00+01:00)",
        ),
        ("parent_id", "x", "should be an id: a UUID in lower case"),
    ],
)
async def test_problems_use_the_terms_of_json(
    client: httpx.AsyncClient, field: str, value: object, said: str
) -> None:
    """Not those of Python."""
    answer = await client.post("/api/tasks", json={"title": "a", field: value})
    problem = assert_problem(answer, 422, "invalid")
    assert problem["errors"][0]["message"] == said


async def test_chunked_body_is_bounded_too(client: httpx.AsyncClient) -> None:
    """Without a declared length, reading stops at the limit."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * LIMIT_BYTES:
            sent += 256
            yield b" " * 256

    headers = {"Content-Type": "application/json"}
    answer = await client.post("/api/tasks", content=endless(), headers=headers)
    assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/api/tasks?colour=red", "colour"),
        ("/api/tasks?limit=1&limit=2", "limit"),
        ("/api/tasks?query=milk", "'query'"),
        ("/api/lists?sort=name", "sort"),
        ("/api/me?x", "'x'"),
        (f"/api/tasks/{ID}?when=now", "when"),
        (f"/api/tasks/{ID}?version=1&as_of=2026-01-01T00:00:00Z", "not both"),
        ("/api/tasks?cursor=abc", "cursor"),
        ("/api/outcomes/first", "position"),
        ("/api/outcomes/0:x", "position"),
    ],
)
async def test_unknown_parameters_are_named(client: httpx.AsyncClient, path: str, named: str) -> None:
    """400."""
    assert named in assert_problem(await client.get(path), 400, "malformed")["detail"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/tasks?limit=0", "limit"),
        ("/api/tasks?limit=201", "limit"),
        ("/api/tasks?limit=x", "limit"),
        ("/api/tasks?sort=color", "sort"),
        ("/api/tasks?status=lost", "status"),
        ("/api/tasks?list_id=x", "list_id"),
        ("/api/tasks?due_before=soon", "due_before"),
        ("/api/tasks?due_after=2026-01-01T00:00", "due_after"),
        ("/api/tasks?stage=a%00b", "stage"),
        (f"/api/tasks/{ID}?version=0", "version"),
        (f"/api/tasks/{ID}?as_of=2026-01-01T00:00:00", "as_of"),
    ],
)
async def test_invalid_parameter_values_are_field_errors(
    client: httpx.AsyncClient, path: str, field: str
) -> None:
    """422 that names the parameter."""
    problem = assert_problem(await client.get(path), 422, "invalid")
    assert [each["field"] for each in problem["errors"]] == [field]


async def test_position_of_an_unknown_partition_is_not_found(deps: Dependencies) -> None:
    """Any number."""
    async with client_of(deps, admin=True) as client:
        for partition in (2, 2**31, 10**17):
            for method, path in (("GET", "/api/outcomes/{}:1"), ("POST", "/api/dead-letters/{}:1/skip")):
                answer = await client.request(method, path.format(partition))
                assert_problem(answer, 404, "not_found")


@pytest.mark.parametrize("kind", [asyncpg.DataError, ClientSideDataError])
async def test_values_that_the_database_refuses_are_500(
    client: httpx.AsyncClient, pool: Broken, kind: type[Exception]
) -> None:
    """Not an outage: repeating the request does not help."""
    pool.error = kind("value out of int32 range")
    assert_problem(await client.get("/api/tasks"), 500, "internal")


async def test_encoded_bodies_are_refused(client: httpx.AsyncClient) -> None:
    """A small body could contain a large one."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await client.post("/api/tasks", content=b"\x1f\x8b", headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


async def test_unknown_paths_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    """404 and 405; 405 lists the allowed methods."""
    assert_problem(await client.get("/api/nothing"), 404, "not_found")
    assert_problem(await client.get("/api/tasks/"), 404, "not_found")
    assert_problem(await client.get("/api/tasks/not-an-id"), 404, "not_found")
    assert_problem(await client.post("/api/tasks/NOT/complete"), 404, "not_found")
    answer = await client.put("/api/tasks", json={})
    assert_problem(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= {method.strip() for method in answer.headers["allow"].split(",")}


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "caf\u00e9".encode(), "a\tb"])
async def test_invalid_idempotency_keys_are_refused(client: httpx.AsyncClient, key: str | bytes) -> None:
    """1 to 255 printable ASCII characters are valid."""
    answer = await client.post("/api/tasks", json={"title": "T"}, headers=raw("Idempotency-Key", key))
    assert_problem(answer, 400, "malformed")


async def test_repeat_may_be_serialised_differently(client: httpx.AsyncClient) -> None:
    """Spacing and order of keys do not matter."""
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    first = await client.post("/api/tasks", content=b'{"title":"T","notes":"N"}', headers=headers)
    again = await client.post("/api/tasks", content=b'{ "notes" : "N", "title" : "T" }', headers=headers)
    assert (again.status_code, again.text) == (first.status_code, first.text)
    assert again.headers["location"] == first.headers["location"]


async def test_idempotency_keys_are_per_user(deps: Dependencies) -> None:
    headers = {"Idempotency-Key": "mine"}
    async with client_of(deps, "alice") as alice, client_of(deps, "bob") as bob:
        ids = {
            (await client.post("/api/tasks", json={"title": "T"}, headers=headers)).json()["id"]
            for client in (alice, bob)
        }
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("header", "status"),
    [
        *(
            ('"1"', 200),
            ('"1", "7"', 200),
            ('"6", "7"', 412),
            ('"1-gzip"', 200),
            ("*", 200),
            ('W/"1"', 412),
            ("1", 400),
            ('"', 400),
        ),
        *(("", 400), (" ", 400), ('"01"', 412), ('"0"', 412), ('"*"', 412), ('"1",', 200), (",", 400)),
    ],
)
async def test_if_match_requires_a_strong_tag_of_the_version(
    client: httpx.AsyncClient, header: str, status: int
) -> None:
    """Tags of compressed responses count as the same version."""
    path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
    answer = await client.patch(path, json={"notes": "N"}, headers={"If-Match": header})
    assert answer.status_code == status, answer.text


async def test_if_match_of_a_creation_is_refused(client: httpx.AsyncClient) -> None:
    """There is no version yet."""
    for path, body in (("/api/tasks", {"title": "T"}), ("/api/lists", {"name": "L"})):
        answer = await client.post(path, json=body, headers={"If-Match": "*"})
        assert_problem(answer, 412, "precondition_failed")


async def test_response_without_an_event_has_all_headers(client: httpx.AsyncClient, world: World) -> None:
    """Clients may rely on version and position after any command."""
    path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
    first = await client.post(f"{path}/complete")
    written = len(world.log.records)
    again = await client.post(f"{path}/complete")
    assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"])
    assert first.headers["tasktape-position"] in again.headers["tasktape-position"].split(",")
    assert len(world.log.records) == written


async def test_request_may_not_wait(client: httpx.AsyncClient, world: World) -> None:
    """202, with the URL to poll, and the applied preference."""
    await client.get("/api/me")
    world.hold()
    for prefer, applied in (("respond-async", "respond-async"), ("respond-async, wait=0", "wait=0")):
        answer = await client.post("/api/tasks", json={"title": "T"}, headers={"Prefer": prefer})
        assert answer.status_code == 202
        assert answer.json() == {"position": answer.headers["tasktape-position"], "outcome": "pending"}
        assert answer.headers["location"] == f"/api/outcomes/{answer.json()['position']}"
        assert answer.headers["preference-applied"] == applied
    world.release()


async def test_request_that_does_not_wait_is_202_however_quick_the_worker_is(
    client: httpx.AsyncClient, world: World
) -> None:
    """The outcome may be known when the broker answers. A repeat has the answer of its first attempt."""
    await client.get("/api/me")
    world.log.is_slow = True
    headers = {"Prefer": "respond-async", "Idempotency-Key": "k"}
    answer = await client.post("/api/tasks", json={"title": "T"}, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (202, "pending")
    outcome = await client.post("/api/tasks", json={"title": "T"}, headers=headers)
    assert (outcome.status_code, outcome.json()["title"]) == (201, "T")


async def test_position_of_another_log_is_malformed(client: httpx.AsyncClient) -> None:
    """The log has two partitions."""
    for header in ("7:0", "0", "0:-1", "a:b"):
        answer = await client.get("/api/me", headers={"Tasktape-Position": header})
        assert_problem(answer, 400, "malformed")


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


async def test_strict_handling_does_not_merge(client: httpx.AsyncClient) -> None:
    """An older version is 412, also for other fields and in bulk; the response says so."""
    path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
    await client.patch(path, json={"title": "U"})
    strict = {"Prefer": "handling=strict", "If-Match": '"1"'}
    assert_problem(await client.patch(path, json={"notes": "N"}, headers=strict), 412, "precondition_failed")
    command = {"command": "edit", "task_id": path.rpartition("/")[2], "body": {"notes": "N"}, "if_match": 1}
    bulk = await client.post(
        "/api/bulk", json={"commands": [command]}, headers={"Prefer": "wait=5, handling=strict"}
    )
    assert bulk.json()["outcomes"][0]["status"] == 412
    assert bulk.headers["preference-applied"] == "wait=5, handling=strict"
    current = await client.patch(path, json={"notes": "N"}, headers=strict | {"If-Match": '"1", "2"'})
    assert (current.status_code, current.headers["preference-applied"]) == (200, "handling=strict")
    merged = await client.patch(path, json={"priority": "high"}, headers={"If-Match": '"1"'})
    assert merged.status_code == 200


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        *(("*", 412), ('"1"', 412), ('W/"1"', 412), ('"1-gzip"', 412), ('"5", "1"', 412)),
        *(('"2"', 200), ("1", 400), ("", 400)),
    ],
)
async def test_if_none_match_of_a_command_is_checked(
    client: httpx.AsyncClient, tags: str, status: int
) -> None:
    """RFC 9110, 13.1.2."""
    path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
    answer = await client.patch(path, json={"notes": "N"}, headers={"If-None-Match": tags})
    assert answer.status_code == status, answer.text


async def test_member_is_added_only_if_absent(client: httpx.AsyncClient) -> None:
    """With `If-None-Match: *`, which does not change an existing member's role."""
    path = (await client.post("/api/lists", json={"name": "L"})).headers["location"] + "/members/bob"
    anew = {"If-None-Match": "*"}
    assert (await client.put(path, json={"role": "viewer"}, headers=anew)).status_code == 200
    again = await client.put(path, json={"role": "owner"}, headers=anew)
    assert_problem(again, 412, "precondition_failed")


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_conditions_without_a_version_are_refused(client: httpx.AsyncClient, header: str) -> None:
    """Creation and bulk: 412, and nothing is written."""
    for path, body in (
        ("/api/tasks", {"title": "T"}),
        ("/api/lists", {"name": "L"}),
        ("/api/bulk", {"commands": []}),
        ("/api/notifications/read-all", {}),
    ):
        answer = await client.post(path, json=body, headers={header: "*"})
        assert_problem(answer, 412, "precondition_failed")


async def test_problems_are_readable_by_other_origins(client: httpx.AsyncClient) -> None:
    """Browsers hide responses without these headers."""
    answer = await client.get("/api/nothing", headers={"Origin": "https://app.example"})
    assert_problem(answer, 404, "not_found")
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


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


@pytest.mark.parametrize(
    ("command", "field", "message"),
    [
        ({"command": "complete", "task_id": "x"}, "task_id", "should be an id: a UUID in lower case"),
        ({"command": "complete", "task_id": ID, "if_match": "1"}, "if_match", "should be a whole number"),
        ({"command": "complete", "task_id": ID, "if_match": True}, "if_match", "should be a whole number"),
        ({"command": "complete", "task_id": ID, "cascade": "yes"}, "cascade", "should be true or false"),
        ({"command": "edit", "task_id": ID, "body": []}, "body", "should be an object"),
        ({"command": "create", "body": {"title": "T", "tags": "a"}}, "tags", "should be a list"),
        (
            {"command": "create", "body": {"title": "T", "tags": [str(n) for n in range(51)]}},
            "tags",
            "should have at most 50 items",
        ),
    ],
)
async def test_field_errors_use_the_terms_of_json(
    client: httpx.AsyncClient, command: dict[str, Any], field: str, message: str
) -> None:
    """Not those of Python; a number is not a text that looks like one."""
    answer = await client.post("/api/bulk", json={"commands": [command]})
    [outcome] = answer.json()["outcomes"]
    assert outcome["problem"]["errors"] == [{"field": field, "message": message}]
