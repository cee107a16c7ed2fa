"""Requests that are refused: tokens, bodies, parameters, paths."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.http.dependencies import Dependencies
from app.ids import inbox_id
from tasktape.local.tokens import mint
from tests.api.http_client import ID, LIMIT_BYTES, SECRET, assert_problem, client_of
from tests.api.memory_stack import World


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


async def test_position_of_another_log_is_malformed(client: httpx.AsyncClient) -> None:
    """The log has two partitions."""
    for header in ("7:0", "0", "0:-1", "a:b"):
        answer = await client.get("/api/me", headers={"Tasktape-Position": header})
        assert_problem(answer, 400, "malformed")


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
