"""Calls of a scripted server: retries, tokens, keys, positions, pages, errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from tasktape_client import Client, Patience, Pending, TasktapeError
from tasktape_client.transport import is_local

TASK: dict[str, Any] = {
    "id": "0190f3c0-0000-7000-8000-0000003f9a2c",
    "list_id": "0190f3c0-0000-7000-8000-000000000001",
    "title": "Buy milk",
    "status": "open",
    "rank": "a",
    "version": 1,
    "created_at": "2026-01-01T00:00:00.5Z",
    "created_by": "alice",
    "updated_at": "2026-01-01T00:00:00.5Z",
}
AT_ONCE = Patience(unanswered_s=0.2, limit_s=0.2, first_delay_s=0.0)

Answer = Callable[[httpx.Request], httpx.Response]


def client_of(answer: Answer, token: Any = "token", patience: Patience = AT_ONCE) -> Client:
    return Client("http://tasktape.test", token, patience=patience, transport=httpx.MockTransport(answer))


def in_turn(*answers: httpx.Response | Exception) -> tuple[Answer, list[httpx.Request]]:
    """Return a server with these consecutive responses, and the requests that it gets."""
    rest: Iterator[httpx.Response | Exception] = iter(answers)
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        found = next(rest)
        if isinstance(found, Exception):
            raise found
        return found

    return answer, seen


def ok(status: int = 200, body: object = None, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json=TASK if body is None else body, headers=headers)


# --- patience --------------------------------------------------------------------------------------------


async def test_restarting_server_is_retried_with_the_same_key() -> None:
    """A command takes effect once, however often it is sent."""
    passing = [httpx.Response(status, json={}) for status in (429, 502, 503, 504)]
    answer, seen = in_turn(httpx.ConnectError("refused"), httpx.ReadTimeout("late"), *passing, ok(201))
    async with client_of(answer) as client:
        assert (await client.create_task("Buy milk")).title == "Buy milk"
    assert len({request.headers["idempotency-key"] for request in seen}) == 1
    assert {request.content for request in seen} == {b'{"title":"Buy milk"}'}
    assert len(seen) == 7


async def test_each_command_has_a_new_key_by_default() -> None:
    answer, seen = in_turn(ok(), ok(), ok(), ok())
    async with client_of(answer) as client:
        await client.complete_task(TASK["id"])
        await client.complete_task(TASK["id"])
        await client.complete_task(TASK["id"], key="mine")
        await client.create_task("T", key="mine")
    keys = [request.headers["idempotency-key"] for request in seen]
    assert len(set(keys)) == 3
    assert keys[2:] == ["mine", "mine"]
    assert json.loads(seen[3].content) == {"title": "T"}


async def test_creation_takes_the_options_of_commands() -> None:
    """Except a version; they are no fields of the task."""
    answer, seen = in_turn(ok(201))
    async with client_of(answer) as client:
        await client.create_task("T", key="mine", wait_s=7, correlation_id="run-1", tags=["a"])
    [request] = seen
    assert json.loads(request.content) == {"title": "T", "tags": ["a"]}
    assert (request.headers["prefer"], request.headers["x-correlation-id"]) == ("wait=7", "run-1")


async def test_closed_client_makes_no_connection() -> None:
    """Nobody would close it."""
    client = client_of(lambda _: ok())
    await client.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await client.me()
    with pytest.raises(RuntimeError, match="closed"):
        client.updates()


async def test_refusal_is_not_retried() -> None:
    answer, seen = in_turn(ok(500, {}), ok(404, {"code": "not_found", "detail": "no such task"}))
    async with client_of(answer) as client:
        for status, code in ((500, "unknown"), (404, "not_found")):
            with pytest.raises(TasktapeError) as caught:
                await client.task(TASK["id"])
            assert (caught.value.status, caught.value.code) == (status, code)
    assert len(seen) == 2


async def test_retries_end_after_a_time_limit() -> None:
    """It is shorter for a server that never responded."""
    calls = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        if calls == 2:
            return ok()
        raise httpx.ConnectError("refused")

    patience = Patience(unanswered_s=0.05, limit_s=0.4, first_delay_s=0.04, longest_delay_s=0.04)
    async with client_of(answer, patience=patience) as client:
        await client.task(TASK["id"])
        started = asyncio.get_running_loop().time()
        with pytest.raises(
            TasktapeError, match=r"http://tasktape\.test cannot be reached: refused"
        ) as caught:
            await client.task(TASK["id"])
    assert (caught.value.code, caught.value.status) == ("unreachable", None)
    assert asyncio.get_running_loop().time() - started > 0.2
    assert calls < 30


@pytest.mark.parametrize(
    "header", ["1", lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=2.5), usegmt=True)]
)
async def test_retry_after_is_respected(header: str | Callable[[], str]) -> None:
    """It is in seconds or a date. A delay beyond the limit is an error that carries the delay."""
    value = header if isinstance(header, str) else header()
    answer, seen = in_turn(
        ok(503, {}, headers={"Retry-After": value}), ok(429, {}, headers={"Retry-After": "3600"})
    )
    started = asyncio.get_running_loop().time()
    async with client_of(answer, patience=Patience(limit_s=5)) as client:
        with pytest.raises(TasktapeError) as caught:
            await client.task(TASK["id"])
    assert asyncio.get_running_loop().time() - started > 0.9
    assert (caught.value.status, caught.value.retry_after_s, len(seen)) == (429, 3600.0, 2)


@pytest.mark.parametrize("header", ["soon", "", "Sun, 06 Nov 1994 08:49:37 -0000"])
async def test_invalid_retry_after_is_ignored(header: str) -> None:
    """A date in the past is ignored too."""
    answer, seen = in_turn(ok(503, {}, headers={"Retry-After": header}), ok())
    async with client_of(answer) as client:
        await client.task(TASK["id"])
    assert len(seen) == 2


# --- tokens ----------------------------------------------------------------------------------------------


def only(good: str) -> Answer:
    """Return a server that accepts one token."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] == f"Bearer {good}":
            return ok()
        return ok(401, {"code": "unauthenticated", "detail": "the token has expired"})

    return answer


@pytest.mark.parametrize("awaited", [True, False])
async def test_refused_token_is_renewed_once(awaited: bool) -> None:  # noqa: FBT001
    """A function, async or not, is called only when a token is needed, and by one call at a time."""
    given = iter(["old", "new"])

    async def later() -> str:
        await asyncio.sleep(0)
        return next(given)

    token: Callable[[], str | Awaitable[str]] = later if awaited else lambda: next(given)
    async with client_of(only("new"), token) as client:
        tasks = await asyncio.gather(*(client.task(TASK["id"]) for _ in range(5)))
    assert [task.title for task in tasks] == ["Buy milk"] * 5
    assert list(given) == []


@pytest.mark.parametrize("token", ["old", lambda: "old"])
async def test_refused_fixed_token_is_an_error(token: Any) -> None:
    """So is a token whose successor is rejected too."""
    async with client_of(only("new"), token) as client:
        with pytest.raises(TasktapeError, match="expired") as caught:
            await client.task(TASK["id"])
    assert (caught.value.code, caught.value.status) == ("unauthenticated", 401)


@pytest.mark.parametrize("token", ["", "t\u00f6ken", "to\nken"])
def test_invalid_token_is_an_error(token: str) -> None:
    """No header can carry it."""
    with pytest.raises(TasktapeError, match="not a JSON Web Token"):
        client_of(only("new"), token)


# --- what is sent ----------------------------------------------------------------------------------------


async def test_reads_wait_for_own_writes() -> None:
    """Every read carries the last position of the client's commands in each partition."""
    answer, seen = in_turn(
        ok(headers={"Tasktape-Position": "0:5"}),
        ok(headers={"Tasktape-Position": "1:7"}),
        ok(202, {"position": "0:9", "outcome": "pending"}, headers={"Tasktape-Position": "0:9"}),
        ok(),
        ok(200, {"items": [], "next_cursor": None}),
    )
    async with client_of(answer) as client:
        assert client.positions == {}
        await client.complete_task(TASK["id"])
        await client.reopen_task(TASK["id"])
        with pytest.raises(Pending) as caught:
            await client.complete_task(TASK["id"])
        assert (caught.value.position, caught.value.code) == ("0:9", "pending")
        await client.task(TASK["id"])
        await client.lists().all()
        assert client.positions == {"0": 9, "1": 7}
    assert [request.headers.get("tasktape-position") for request in seen] == [None] * 3 + ["0:9,1:7"] * 2


@pytest.mark.parametrize("header", ["here", "0:1:2", "0", "0:x"])
async def test_invalid_position_in_a_response_is_an_error(header: str) -> None:
    answer, _ = in_turn(ok(headers={"Tasktape-Position": header}))
    async with client_of(answer) as client:
        with pytest.raises(TasktapeError, match=r"does not answer as Tasktape does") as caught:
            await client.complete_task(TASK["id"])
    assert caught.value.code == "foreign"


async def test_commands_have_their_requests() -> None:
    """Check paths, versions, preferences and bodies."""
    answer, seen = in_turn(*(ok() for _ in range(4)))
    fields: Any = {"due": date(2026, 12, 1), "notes": None, "reminders": [{"before": "PT30M"}]}
    async with client_of(answer) as client:
        await client.edit_task("t/1", fields, scope="this", if_match=3, wait_s=7, correlation_id="run-1")
        await client.delete_task("t", cascade=True)
        await client.move_task("t", before="u", if_match=None)
        await client.remove_member("l", "a user/of ours?")
    first = seen[0]
    assert (first.method, str(first.url)) == ("PATCH", "http://tasktape.test/api/tasks/t%2F1?scope=this")
    assert first.headers["content-type"] == "application/merge-patch+json"
    assert (first.headers["if-match"], first.headers["prefer"]) == ('"3"', "wait=7")
    assert first.headers["x-correlation-id"] == "run-1"
    assert json.loads(first.content) == {
        "due": "2026-12-01",
        "notes": None,
        "reminders": [{"before": "PT30M"}],
    }
    assert str(seen[1].url).endswith("/api/tasks/t?cascade=true")
    assert (seen[2].url.path, json.loads(seen[2].content)) == ("/api/tasks/t/move", {"before": "u"})
    assert "if-match" not in seen[2].headers
    assert seen[3].url.raw_path == b"/api/lists/l/members/a%20user%2Fof%20ours%3F"


def collection(*pages: list[dict[str, Any]]) -> tuple[Answer, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        number = int(request.url.params.get("cursor", 0))
        following = str(number + 1) if number + 1 < len(pages) else None
        body = {"items": pages[number], "next_cursor": following, "positions": {"0": 10 + number}}
        return httpx.Response(200, json=body)

    return answer, seen


async def test_items_are_paged_up_to_a_bound() -> None:
    """Pages are read when needed. The positions are those of the first page."""
    named = [{**TASK, "title": title} for title in "abc"]
    answer, seen = collection(named[:2], named[2:])
    async with client_of(answer) as client:
        tasks = client.tasks(tag=["x", "y"], status="open", list_id=None, due_before=date(2026, 12, 1))
        assert [task.title for task in await tasks.all()] == ["a", "b", "c"]
        assert tasks.positions == {"0": 10}
        assert len(seen) == 2
        assert [task.title async for task in client.tasks(at_most=2)] == ["a", "b"]
        assert await client.tasks(at_most=0).all() == []
    query = seen[0].url.params
    assert query.get_list("tag") == ["x", "y"]
    assert {name: query[name] for name in query if name != "tag"} == {
        "status": "open",
        "due_before": "2026-12-01",
        "limit": "200",
    }
    assert seen[1].url.params["cursor"] == "1"
    assert (seen[2].url.params["limit"], len(seen)) == ("2", 3)


# --- what comes back -------------------------------------------------------------------------------------


async def test_unknown_fields_are_kept() -> None:
    newer = {**TASK, "colour": "red", "series": {"id": "s", "occurrence": 2, "mood": 1}}
    answer, _ = in_turn(ok(200, newer))
    async with client_of(answer) as client:
        task = await client.task(TASK["id"])
    assert task.model_extra == {"colour": "red"}
    assert task.as_sent() == {**newer, "created_at": "2026-01-01T00:00:00.500000Z"} | {
        "updated_at": "2026-01-01T00:00:00.500000Z"
    }
    assert (task.notes, task.tags, task.created_at.tzinfo) == ("", (), UTC)


@pytest.mark.parametrize(
    ("response", "words", "code"),
    [
        (
            httpx.Response(422, json={"code": "invalid", "detail": "title: is\nrequired"}),
            "title: is required",
            "invalid",
        ),
        (httpx.Response(500, text="<html>"), "answers 500", "unknown"),
        (httpx.Response(200, text="<html>"), "does not answer as Tasktape does", "foreign"),
        (httpx.Response(200, json={"title": "T"}), "does not answer as Tasktape does", "foreign"),
        (httpx.Response(200, json=[]), "does not answer as Tasktape does", "foreign"),
        (httpx.Response(400, json=[]), "answers 400", "unknown"),
    ],
)
async def test_errors_are_one_line(response: httpx.Response, words: str, code: str) -> None:
    """For any invalid response."""
    async with client_of(lambda _: response) as client:
        with pytest.raises(TasktapeError, match=words) as caught:
            await client.task(TASK["id"])
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


async def test_invalid_page_is_an_error() -> None:
    """Another server may send one."""
    async with client_of(lambda _: httpx.Response(200, json={"data": []})) as client:
        with pytest.raises(TasktapeError, match="does not answer as Tasktape does"):
            await client.tasks().all()


async def test_conflict_has_all_values_by_field() -> None:
    """With the code and the detail of the problem."""
    conflict = {
        "code": "conflict",
        "detail": "d",
        "base": {"title": "a"},
        "theirs": {"title": "b"},
        "yours": {"title": "c"},
    }
    invalid = {"code": "invalid", "detail": "d", "errors": [{"field": "due", "message": "m"}]}
    answer, _ = in_turn(ok(409, conflict), ok(422, invalid))
    async with client_of(answer) as client:
        with pytest.raises(TasktapeError) as caught:
            await client.edit_task(TASK["id"], {"title": "c"}, if_match=1)
        error = caught.value
        assert (error.base, error.theirs, error.yours) == (
            {"title": "a"},
            {"title": "b"},
            {"title": "c"},
        )
        with pytest.raises(TasktapeError) as caught:
            await client.edit_task(TASK["id"], {"due": "soon"})
        assert caught.value.errors == ({"field": "due", "message": "m"},)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("https://a.b", False),
    ],
)
def test_localhost_is_reached_without_a_proxy(url: str, local: bool) -> None:  # noqa: FBT001
    """Other servers may need one."""
    assert is_local(url) is local


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "", "http://", "http://[x", "http://x:y"])
def test_invalid_url_is_refused(url: str) -> None:
    """By the constructor."""
    with pytest.raises(ValueError, match="is not an address"):
        Client(url, "t")


async def test_presence_is_read_by_channel_and_by_user() -> None:
    there = {"user": "bob", "connections": 2, "viewing": True, "typing": False}
    answer, seen = in_turn(
        ok(body={"channel": "task:1", "present": [there], "total": 1}),
        ok(body={"items": [{"user": "bob", "connections": 2, "nodes": 1}], "next_cursor": None}),
    )
    async with client_of(answer) as client:
        assert (await client.presence("task:1")).present[0].viewing
        assert [each.connections for each in await client.connections("bob").all()] == [2]
    assert [request.url.params.multi_items()[0] for request in seen] == [
        ("channel", "task:1"),
        ("user", "bob"),
    ]


@pytest.mark.parametrize("name", ["..", ".", ""])
async def test_names_are_escaped_in_urls(name: str) -> None:
    """Removing the member `..` of a list does not delete the list."""
    answer, seen = in_turn()
    async with client_of(answer) as client:
        for call in (
            client.remove_member(TASK["list_id"], name),
            client.set_member(TASK["list_id"], name, "viewer"),
            client.delete_comment(TASK["id"], name),
            client.delete_task(name),
        ):
            with pytest.raises(TasktapeError) as refused:
                await call
            assert refused.value.code == "not_found"
    assert seen == []
