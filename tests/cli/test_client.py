"""The HTTP client of the verbs: patience, one-line errors, short ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import httpx
import pytest

from tasktape import http
from tasktape.cli.client import find_list, find_task
from tasktape.http import ApiClient, ApiError, is_local

IDS = ["0190f3c0-0000-7000-8000-0000003f9a2c", "0190f3c0-0000-7000-8000-000000111111"]


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RETRY_DELAYS_S", (0.0, 0.0, 0.0))


def client_of(answer: Callable[[httpx.Request], httpx.Response]) -> ApiClient:
    return ApiClient("http://tasktape.test", "token", transport=httpx.MockTransport(answer))


def test_a_server_that_restarts_is_asked_again_with_the_same_key() -> None:
    """A command is carried out once, however often it is sent."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["idempotency-key"])
        assert request.headers["authorization"] == "Bearer token"
        if len(seen) == 1:
            raise httpx.ConnectError("refused")
        return httpx.Response(503 if len(seen) == 2 else 201, json={"id": "x"})

    with client_of(answer) as client:
        assert client.command("POST", "/api/tasks", {"title": "T"}, key="k").body == {"id": "x"}
    assert seen == ["k", "k", "k"]


@pytest.mark.parametrize(
    ("response", "words", "code"),
    [
        (
            httpx.Response(422, json={"code": "invalid", "detail": "title: is\nrequired"}),
            "title: is required",
            "invalid",
        ),
        (httpx.Response(500, text="<html>"), "answers 500", "unknown"),
        (httpx.Response(200, text="<html>"), "does not answer as Tasktape does", "unreachable"),
        (httpx.Response(400, json=[]), "answers 400", "unknown"),
    ],
)
def test_errors_are_one_line(response: httpx.Response, words: str, code: str) -> None:
    """Whatever comes back."""
    with client_of(lambda _: response) as client, pytest.raises(ApiError, match=words) as caught:
        client.get("/api/tasks")
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_patience_ends() -> None:
    """After a bounded number of tries."""
    tries = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal tries
        tries += 1
        raise httpx.ConnectError("refused")

    with client_of(answer) as client, pytest.raises(ApiError, match="can't be reached: refused"):
        client.get("/api/me")
    assert tries == 4


def collection(*pages: list[dict[str, Any]]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("cursor", 0))
        following = str(number + 1) if number + 1 < len(pages) else None
        return httpx.Response(200, json={"items": pages[number], "next_cursor": following})

    return answer


def test_items_come_page_by_page_up_to_a_bound() -> None:
    """No page is asked for that is not needed."""
    with client_of(collection([{"n": 1}, {"n": 2}], [{"n": 3}])) as client:
        assert [item["n"] for item in client.items("/x", at_most=10)] == [1, 2, 3]
        assert [item["n"] for item in client.items("/x", at_most=2)] == [1, 2]


@pytest.mark.parametrize(
    ("given", "found"),
    [(IDS[0], IDS[0]), ("3f9a2c", IDS[0]), ("1111", IDS[1]), (IDS[0].upper(), IDS[0]), (IDS[1][:-3], IDS[1])],
)
def test_ids_may_be_cut(given: str, found: str) -> None:
    """To their beginning or their end."""
    tasks = [{"id": identifier, "title": "T"} for identifier in IDS]
    with client_of(collection(tasks)) as client:
        assert find_task(client, given) == found


@pytest.mark.parametrize(
    ("given", "words"),
    [("0190f3c0", "2 tasks"), ("abcdef", "No task"), ("3f9", "4 or more"), ("milk", "4 or more")],
)
def test_ids_that_are_no_ones_or_twos(given: str, words: str) -> None:
    """Are refused, with what there is."""
    tasks = [{"id": identifier, "title": "T"} for identifier in IDS]
    with client_of(collection(tasks)) as client, pytest.raises(click.ClickException, match=words):
        find_task(client, given)


def test_lists_by_name() -> None:
    """The exact name wins over one that differs in case; two of one name need an id."""
    lists = [{"id": "1", "name": "Home"}, {"id": "2", "name": "home"}, {"id": "3", "name": "Work"}]
    with client_of(collection(lists)) as client:
        assert find_list(client, "home") == "2"
        assert find_list(client, "WORK") == "3"
        assert find_list(client, "Garden") is None
        assert find_list(client, IDS[0]) == IDS[0]
        with pytest.raises(click.ClickException, match="2 lists"):
            find_list(client, "HOME")


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("https://a.b", False),
    ],
)
def test_this_machine_is_asked_without_a_proxy(url: str, local: bool) -> None:  # noqa: FBT001
    """Others may need one."""
    assert is_local(url) is local
