"""Idempotency keys, conditions on versions, and preferences."""

from __future__ import annotations

import httpx
import pytest

from api.http.dependencies import Dependencies
from tests.api.http_client import assert_problem, client_of, raw
from tests.api.memory_stack import World


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
