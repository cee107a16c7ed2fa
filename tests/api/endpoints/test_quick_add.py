"""Quick add over HTTP on a log in memory: a text is created as a task, or only parsed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from api.main import application
from app.settings import Settings
from tasktape.local.tokens import mint
from tests.api.memory_stack import World, dependencies_on

SECRET = "a secret of the tests that is long enough"
NOW = datetime(2026, 11, 25, 15, 30, tzinfo=UTC)
TEXT = "call bob #home !high tomorrow 5pm"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(jwt_secret=SECRET, command_wait_ms=2000)
    app = application(settings)
    app.state.deps = replace(dependencies_on(world, world.node(), settings, None), clock=clock)
    headers = {"Authorization": f"Bearer {mint(SECRET, 'alice', admin=False, ttl_s=60)}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://tasktape.test", headers=headers
    ) as one:
        yield one


async def create(
    client: httpx.AsyncClient, title: str, query: str = "quick=1", **body: Any
) -> httpx.Response:
    return await client.post(f"/api/tasks?{query}", json={"title": title, **body})


async def test_quick_text_is_created_with_its_parsed_fields(client: httpx.AsyncClient) -> None:
    """201 with the task, and the part of the text for each field."""
    answer = await create(client, TEXT, "quick=1&time_zone=Europe/Madrid")
    assert answer.status_code == 201, answer.text
    task = answer.json()
    assert (task["title"], task["tags"], task["priority"]) == ("call bob", ["home"], "high")
    assert (task["due"], task["time_zone"]) == ("2026-11-26T17:00:00+01:00", "Europe/Madrid")
    assert [(part["text"], part["field"]) for part in task["quick"]["parts"]] == [
        ("#home", "tags"),
        ("!high", "priority"),
        ("tomorrow 5pm", "due"),
    ]
    assert task["quick"]["unread"] == []


@pytest.mark.parametrize("query", ["", "quick=0"])
async def test_title_is_verbatim_without_quick(client: httpx.AsyncClient, query: str) -> None:
    """Nothing of it is parsed."""
    task = (await create(client, TEXT, query)).json()
    assert (task["title"], task["due"], "quick" in task) == (TEXT, None, False)


async def test_body_fields_override_the_text(client: httpx.AsyncClient) -> None:
    """Their text stays in the title; tags and assignees are combined."""
    body: dict[str, Any] = {
        "due": "2027-01-01",
        "priority": None,
        "tags": ["work"],
        "time_zone": "Asia/Tokyo",
    }
    answer = await create(client, f"{TEXT} @me", **body)
    assert answer.status_code == 422  # a priority is never null
    del body["priority"]
    task = (await create(client, f"{TEXT} @me", **body)).json()
    assert (task["title"], task["due"]) == ("call bob tomorrow 5pm", "2027-01-01")
    assert (task["priority"], task["tags"], task["assignees"]) == ("high", ["work", "home"], ["alice"])


async def test_times_use_the_task_time_zone_or_utc(client: httpx.AsyncClient) -> None:
    """Unless the query names another one."""
    assert (await create(client, "x tomorrow 5pm")).json()["due"] == "2026-11-26T17:00:00+00:00"
    task = (await create(client, "x tomorrow 5pm", time_zone="Asia/Tokyo")).json()
    assert (task["due"], task["time_zone"]) == ("2026-11-27T17:00:00+09:00", "Asia/Tokyo")


async def test_only_members_are_parsed_as_persons(client: httpx.AsyncClient) -> None:
    """Others stay in the title, and the response says so."""
    made = (await client.post("/api/lists", json={"name": "Garden"})).json()
    await client.put(f"/api/lists/{made['id']}/members/bob", json={"role": "editor"})
    task = (await create(client, "dig @bob @carol", list_id=made["id"])).json()
    assert (task["title"], task["assignees"]) == ("dig @carol", ["bob"])
    assert [each["text"] for each in task["quick"]["unread"]] == ["@carol"]
    parent = task["id"]
    assert (await create(client, "dig @bob", parent_id=parent)).json()["assignees"] == ["bob"]
    assert (await create(client, "dig @bob")).json()["assignees"] == []


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("tomorrow #home", "no words left"),
        ("", "non-empty text"),
        (5, "non-empty text"),
        ("x" * 2001, "2000"),
        ("x" * 501, "500"),
    ],
)
async def test_text_without_a_title_is_refused(client: httpx.AsyncClient, title: Any, message: str) -> None:
    """422 that names the field, and nothing is created."""
    answer = await create(client, title)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "title"
    assert message in error["message"]


async def test_unknown_zone_is_refused(client: httpx.AsyncClient) -> None:
    """422 that names the field."""
    answer = await create(client, TEXT, "quick=1&time_zone=Nowhere/Land")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "time_zone")


async def test_repeated_key_returns_the_same_task_on_another_day(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    """The first request's "tomorrow" counts; a verbatim title is another command."""
    headers = {"Idempotency-Key": "once"}
    first = (await client.post("/api/tasks?quick=1", json={"title": TEXT}, headers=headers)).json()
    clock.now = datetime(2026, 11, 27, tzinfo=UTC)
    again = await client.post("/api/tasks?quick=1", json={"title": TEXT}, headers=headers)
    assert (again.status_code, again.json()["id"], again.json()["due"]) == (201, first["id"], first["due"])
    other = await client.post("/api/tasks", json={"title": TEXT}, headers=headers)
    assert other.status_code == 422, other.text


async def test_preview_creates_nothing(client: httpx.AsyncClient, world: World) -> None:
    """Response: title, fields, parts and what was not parsed."""
    await client.get("/api/quick-add", params={"text": "x"})  # the first request makes the inbox
    ends = await world.log.ends()
    query = {"text": f"{TEXT} @carol", "time_zone": "Europe/Madrid"}
    answer = await client.get("/api/quick-add", params=query)
    assert answer.status_code == 200, answer.text
    read = answer.json()
    assert (read["title"], read["fields"]["due"]) == ("call bob @carol", "2026-11-26T17:00:00+01:00")
    assert [part["text"] for part in read["parts"]] == ["#home", "!high", "tomorrow 5pm"]
    assert read["unread"][0]["text"] == "@carol"
    assert (await client.get("/api/quick-add", params={"text": "x" * 2001})).status_code == 422
    assert (await client.get("/api/quick-add")).status_code == 422
    assert await world.log.ends() == ends
