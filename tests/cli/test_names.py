"""Names of lists and short ids of tasks in the verbs."""

from __future__ import annotations

from typing import Any

import click
import httpx
import pytest

from tasktape.cli.client import find_list, find_task
from tasktape_client import Client

IDS = ["0190f3c0-0000-7000-8000-0000003f9a2c", "0190f3c0-0000-7000-8000-000000111111"]
LIST = {
    "inbox": False,
    "members": {"alice": "owner"},
    "version": 1,
    "created_at": "2026-01-01T00:00:00Z",
    "created_by": "alice",
    "updated_at": "2026-01-01T00:00:00Z",
}


def client_of(items: list[dict[str, Any]]) -> Client:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": items, "next_cursor": None})

    return Client("http://tasktape.test", "token", transport=httpx.MockTransport(answer))


def client_of_ids() -> Client:
    """Return a client of a server that looks ids up."""

    def answer(request: httpx.Request) -> httpx.Response:
        part = request.url.params["part"]
        items = [{"id": each, "title": "T"} for each in IDS if each.startswith(part) or each.endswith(part)]
        return httpx.Response(200, json={"items": items, "more": part == "aaaa"})

    return Client("http://tasktape.test", "token", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("given", "found"),
    [(IDS[0], IDS[0]), ("3f9a2c", IDS[0]), ("1111", IDS[1]), (IDS[0].upper(), IDS[0]), (IDS[1][:-3], IDS[1])],
)
async def test_ids_may_be_shortened(given: str, found: str) -> None:
    """To their beginning or their end."""
    async with client_of_ids() as client:
        assert await find_task(client, given) == found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("0190f3c0", "2 tasks"),
        ("abcdef", "No task"),
        ("3f9", "4 or more"),
        ("milk", "4 or more"),
        ("aaaa", "Many"),
    ],
)
async def test_unknown_and_ambiguous_ids_are_refused(given: str, words: str) -> None:
    """With the candidates."""
    async with client_of_ids() as client:
        with pytest.raises(click.ClickException, match=words):
            await find_task(client, given)


async def test_lists_are_found_by_name() -> None:
    """An exact match takes precedence over another case; two of one name need an id."""
    names = {"1": "Home", "2": "home", "3": "Work"}
    lists = [{**LIST, "id": identifier, "name": name} for identifier, name in names.items()]
    async with client_of(lists) as client:
        assert await find_list(client, "home") == "2"
        assert await find_list(client, "WORK") == "3"
        assert await find_list(client, "Garden") is None
        assert await find_list(client, IDS[0]) == IDS[0]
        with pytest.raises(click.ClickException, match="2 lists"):
            await find_list(client, "HOME")
