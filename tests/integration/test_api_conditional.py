"""Conditional, cached and compressed reads on a running stack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from gzip import decompress
from uuid import uuid4

import httpx
import pytest

from tests.integration.stack import Stack

UNCHANGED = ("etag", "cache-control", "vary")


@pytest.fixture
async def client(running_stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as found:
        found.headers["Accept-Encoding"] = "identity"
        yield found


async def test_unchanged_reads_are_304(client: httpx.AsyncClient) -> None:
    """Each read has a tag, and may be kept by the caller."""
    task = await client.post("/api/tasks", json={"title": "T"})
    path, me = task.headers["location"], (await client.get("/api/me")).json()
    comment = await client.post(f"{path}/comments", json={"text": "Well"})
    await client.post("/api/lists", json={"name": "L"})
    position = comment.headers["tasktape-position"]
    for each in (
        *(path, f"{path}?version=1", f"{path}/history", f"{path}/comments", comment.headers["location"]),
        *("/api/lists", f"/api/lists/{me['inbox_id']}", f"/api/lists/{me['inbox_id']}/members"),
        *("/api/me", "/api/notifications", f"/api/outcomes/{position}", "/healthz"),
    ):
        headers = {"Tasktape-Position": position}
        first = await client.get(each, headers=headers)
        assert first.status_code == 200, (each, first.text)
        again = await client.get(
            each, headers=headers | {"If-None-Match": f'"other", {first.headers["etag"]}'}
        )
        assert (again.status_code, again.content) == (304, b""), each
        for name in UNCHANGED:
            assert again.headers[name] == first.headers[name], (each, name)
        assert again.headers.get("tasktape-position") is not None or "tasktape-position" not in first.headers
        vary = first.headers["vary"].lower()
        if each.startswith("/api"):
            assert first.headers["cache-control"] == "private, no-cache"
            assert "authorization" in vary
        assert "accept-encoding" in vary
        other = await client.get(each, headers={"If-Match": '"other"'})
        assert (other.status_code, other.headers["cache-control"]) == (412, "no-store"), each
        head = await client.head(each, headers={"If-None-Match": first.headers["etag"]})
        assert head.status_code == 304, each


async def test_page_with_a_next_one_is_stable(client: httpx.AsyncClient) -> None:
    """Its cursor has the time only if the search depends on it."""
    for title in ("A", "B"):
        made = await client.post("/api/tasks", json={"title": title, "due": "2026-12-01"})
    headers = {"Tasktape-Position": made.headers["tasktape-position"]}
    for query, same in (("limit=1", True), ("limit=1&q=due:>2026-01-01", False)):
        first = await client.get(f"/api/tasks?{query}", headers=headers)
        again = await client.get(f"/api/tasks?{query}", headers=headers)
        assert first.json()["next_cursor"] is not None
        assert (again.json()["next_cursor"] == first.json()["next_cursor"]) == same
        following = await client.get(f"/api/tasks?{query}&cursor={first.json()['next_cursor']}")
        assert len(following.json()["items"]) == 1


async def test_change_invalidates_the_tag_at_once(client: httpx.AsyncClient) -> None:
    """200 with the new one."""
    path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
    before, page = await client.get(path), await client.get("/api/tasks")
    edited = await client.patch(path, json={"title": "U"})
    headers = {"Tasktape-Position": edited.headers["tasktape-position"]}
    after = await client.get(path, headers=headers | {"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.json()["title"], after.headers["etag"]) == (200, "U", '"2"')
    page_after = await client.get("/api/tasks", headers={"If-None-Match": page.headers["etag"]})
    assert page_after.status_code == 200


async def test_large_responses_are_compressed(client: httpx.AsyncClient) -> None:
    """With a tag that counts as the version, for reads and for commands; streams are not."""
    made = await client.post("/api/tasks", json={"title": "T", "notes": "Long. " * 500})
    path, packed = made.headers["location"], {"Accept-Encoding": "gzip"}
    async with client.stream("GET", path, headers=packed) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert (answer.headers["content-encoding"], answer.headers["etag"]) == ("gzip", '"1-gzip"')
    assert decompress(raw) == (await client.get(path)).content
    assert len(raw) == int(answer.headers["content-length"]) < 1_000
    again = await client.get(path, headers=packed | {"If-None-Match": '"1-gzip"'})
    assert (again.status_code, again.headers["etag"]) == (304, '"1-gzip"')
    edited = await client.patch(path, json={"title": "U"}, headers=packed | {"If-Match": '"1-gzip"'})
    assert (edited.status_code, edited.headers["etag"], edited.json()["title"]) == (200, '"2-gzip"', "U")
    page = await client.get("/api/tasks", headers=packed)
    assert page.headers["content-encoding"] == "gzip"
    assert page.headers["etag"].startswith('W/"')
    small = await client.get("/api/me", headers=packed)
    assert "content-encoding" not in small.headers
    async with client.stream("GET", "/api/stream", headers=packed) as stream:
        assert stream.status_code == 200
        assert "content-encoding" not in stream.headers
        assert "etag" not in stream.headers


async def test_tag_grants_no_access(client: httpx.AsyncClient, running_stack: Stack) -> None:
    """Another user with the tag of a task gets 404 as before."""
    path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as other:
        answer = await other.get(path, headers={"If-None-Match": '"1"'})
        assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
        assert "etag" not in answer.headers
