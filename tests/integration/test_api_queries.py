"""Reading collections: filters, orders, pages, and the positions they are read at."""

from __future__ import annotations

import random
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.stack import Stack

PRIORITIES = ["none", "low", "medium", "high", "urgent"]
DUES = [None, "2026-12-01", "2026-12-02", "2026-12-02T12:00:00+01:00", "2026-11-30T23:30:00-05:00"]


@pytest.fixture(scope="module")
async def tasks(running_stack: Stack) -> tuple[str, list[dict[str, Any]]]:
    """A user's forty tasks, with all kinds of values, as the API answered them."""
    user, draw = f"user-{uuid4().hex[:8]}", random.Random(11)
    made = []
    async with running_stack.client(user) as client:
        for number in range(40):
            body: dict[str, Any] = {
                "title": draw.choice(["Milk", "milk", "Bread", "\u00c4pfel", "Zebra", "\U0001f600"])
                + f" {number % 7}",
                "priority": draw.choice(PRIORITIES),
                "due": draw.choice(DUES),
                "tags": draw.sample(["a", "b", "c"], draw.randrange(4)),
                "assignees": draw.sample(["bob", "carol"], draw.randrange(3)),
                "stage": draw.choice([None, "Accepted", "Queued"]),
            }
            task = (await client.post("/api/tasks", json=body)).json()
            if number % 3 == 0:
                task = (await client.post(f"/api/tasks/{task['id']}/complete")).json()
            made.append(task)
        gone = (await client.post("/api/tasks", json={"title": "Gone", "priority": "high"})).json()
        await client.delete(f"/api/tasks/{gone['id']}")
    return user, made


async def pages(client: httpx.AsyncClient, limit: int, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get("/api/tasks", params={**params, **cursor, "limit": limit})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert len(body["items"]) <= limit
        found += body["items"]
        if body["next_cursor"] is None:
            return found
        assert len(body["items"]) == limit
        cursor = {"cursor": body["next_cursor"]}


@pytest.mark.parametrize("key", ["rank", "created_at", "updated_at", "due", "priority", "title"])
@pytest.mark.parametrize("sign", ["", "-"])
async def test_every_order_pages_without_gaps(
    running_stack: Stack, tasks: tuple[str, list[dict[str, Any]]], key: str, sign: str
) -> None:
    """Pages of seven give each task once, in the same order as one page of all; the order is right."""
    user, made = tasks
    async with running_stack.client(user, 1) as client:
        whole = await pages(client, 200, sort=sign + key)
        assert await pages(client, 7, sort=sign + key) == whole
    assert {task["id"]: task for task in whole} == {task["id"]: task for task in made}
    if key == "due":
        with_due = [task["due"] for task in whole if task["due"]]
        assert [task["due"] for task in whole[: len(with_due)]] == with_due, "those without one come last"
        instants = ["2026-12-01", "2026-11-30T23:30:00-05:00", "2026-12-02T12:00:00+01:00", "2026-12-02"]
        order = {due: place for place, due in enumerate(sorted(instants, key=_instant))}
        places = [order[due] for due in with_due]
        assert places == sorted(places, reverse=sign == "-")
        return
    values = [PRIORITIES.index(task[key]) if key == "priority" else task[key].lower() for task in whole]
    if key != "title":  # how titles compare is the database's business
        assert values == sorted(values, reverse=sign == "-")


def _instant(due: str) -> str:
    return {
        "2026-12-01": "2026-12-01T23:59:59",
        "2026-12-02": "2026-12-02T23:59:59",
        "2026-12-02T12:00:00+01:00": "2026-12-02T11:00:00",
        "2026-11-30T23:30:00-05:00": "2026-12-01T04:30:00",
    }[due]


@pytest.mark.parametrize(
    ("params", "matches"),
    [
        ({"status": "done"}, lambda task: task["status"] == "done"),
        ({"stage": "Queued"}, lambda task: task["stage"] == "Queued"),
        ({"tag": "a"}, lambda task: "a" in task["tags"]),
        ({"tag": ["a", "b"]}, lambda task: {"a", "b"} <= set(task["tags"])),
        ({"assignee": "bob"}, lambda task: "bob" in task["assignees"]),
        ({"priority": "urgent"}, lambda task: task["priority"] == "urgent"),
        ({"priority": "none", "status": "open"}, lambda t: (t["priority"], t["status"]) == ("none", "open")),
        ({"due_before": "2026-12-02"}, lambda t: t["due"] and _instant(t["due"]) < "2026-12-02T00"),
        ({"due_after": "2026-12-01"}, lambda t: t["due"] and _instant(t["due"]) > "2026-12-02T00"),
        (
            {"due_before": "2026-12-02T12:30:00+01:00"},
            lambda t: t["due"] and _instant(t["due"]) < "2026-12-02T11:30",
        ),
        ({"tag": "nothing"}, lambda _: False),
        ({"tag": "' OR 1=1 --"}, lambda _: False),
    ],
)
async def test_filters(
    running_stack: Stack, tasks: tuple[str, list[dict[str, Any]]], params: dict[str, Any], matches: Any
) -> None:
    """Exactly the tasks that match."""
    user, made = tasks
    async with running_stack.client(user) as client:
        found = await pages(client, 5, **params)
    assert {task["id"] for task in found} == {task["id"] for task in made if matches(task)}


async def test_a_cursor_fits_its_query_only(
    running_stack: Stack, tasks: tuple[str, list[dict[str, Any]]]
) -> None:
    """With another order or filter it is refused; another page size is fine."""
    user, _ = tasks
    async with running_stack.client(user) as client:
        cursor = (await client.get("/api/tasks", params={"limit": 3})).json()["next_cursor"]
        for params, status in (({"limit": 9}, 200), ({"sort": "title"}, 400), ({"status": "open"}, 400)):
            answer = await client.get("/api/tasks", params={**params, "cursor": cursor})
            assert answer.status_code == status


async def test_pages_are_each_readers_own(
    running_stack: Stack, tasks: tuple[str, list[dict[str, Any]]]
) -> None:
    """Somebody else sees none of it, also with the cursor."""
    user, _ = tasks
    async with running_stack.client(user) as client, running_stack.client(f"{user}-other") as other:
        cursor = (await client.get("/api/tasks", params={"limit": 3})).json()["next_cursor"]
        assert (await other.get("/api/tasks")).json()["items"] == []
        assert (await other.get("/api/tasks", params={"limit": 3, "cursor": cursor})).json()["items"] == []


async def test_positions_cover_what_is_shown(running_stack: Stack) -> None:
    """The positions of a page include the events of all its tasks, in the body and in the header."""
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as client:
        positions = []
        for number in range(10):
            answer = await client.post("/api/tasks", json={"title": f"T{number}"})
            positions.append(answer.headers["tasktape-position"])
        page = await client.get("/api/tasks")
        assert len(page.json()["items"]) == 10
        reached = page.json()["positions"]
        for position in positions:
            partition, _, offset = position.partition(":")
            assert reached[partition] >= int(offset)
        header = ",".join(f"{partition}:{offset}" for partition, offset in sorted(reached.items()))
        assert page.headers["tasktape-position"] == header


async def test_lists_page_too(running_stack: Stack) -> None:
    """Oldest first, each once."""
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as client:
        names = [f"List {number}" for number in range(9)]
        for name in names:
            await client.post("/api/lists", json={"name": name})
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await client.get("/api/lists", params={"limit": 4, **cursor})).json()
            found += [each["name"] for each in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert found == ["Inbox", *names]


async def test_a_version_that_the_reader_has_is_not_sent_again(running_stack: Stack) -> None:
    """304 for If-None-Match."""
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as client:
        path = (await client.post("/api/tasks", json={"title": "T"})).headers["location"]
        tag = (await client.get(path)).headers["etag"]
        assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 304
        assert (await client.get(path, headers={"If-None-Match": '"9"'})).status_code == 200
        head = await client.head(path)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
