"""Activity feed over HTTP on a real stack."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.stack import Stack


@pytest.fixture
def user() -> str:
    """Return a user whom no other test uses."""
    return f"user-{uuid4().hex[:8]}"


async def feed(client: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    """Return all groups, read page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get("/api/activity", params={**params, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def new_list(client: httpx.AsyncClient, name: str = "Home") -> str:
    """Return a list of the client's own."""
    list_id: str = (await client.post("/api/lists", json={"name": name})).json()["id"]
    return list_id


async def new_task(client: httpx.AsyncClient, title: str, **fields: Any) -> str:
    """Return a task, in the inbox unless `list_id` is given."""
    answer = await client.post("/api/tasks", json={"title": title, **fields})
    assert answer.status_code == 201, answer.text
    task_id: str = answer.json()["id"]
    return task_id


def lines(groups: list[dict[str, Any]]) -> list[str]:
    """Return the texts of the groups. (Actions around the turn of an hour would be two groups.)"""
    return [group["summary"] for group in groups]


async def test_related_actions_are_one_line(running_stack: Stack, user: str) -> None:
    """With actor, list, type, time, count, and the newest events."""
    async with running_stack.client(user) as client:
        list_id = await new_list(client)
        tasks = [await new_task(client, f"Task {number}", list_id=list_id) for number in range(7)]
        for task in tasks[:5]:
            await client.post(f"/api/tasks/{task}/complete")
        [completed, created, listed] = (await feed(client, list_id=list_id))[:3]
    assert completed["summary"] == f"{user} completed 5 tasks"
    assert (completed["actor"], completed["type"], completed["list_id"]) == (user, "task.completed", list_id)
    assert (completed["count"], completed["task_count"]) == (5, 5)
    assert completed["task_ids"] == tasks[4::-1]
    assert [event["title"] for event in completed["events"]] == [
        f"Task {number}" for number in (4, 3, 2, 1, 0)
    ]
    newest = completed["events"][0]
    assert newest["changes"]["status"] == ["open", "done"]
    assert (newest["task_id"], newest["stream"], newest["version"]) == (tasks[4], f"task:{tasks[4]}", 2)
    assert completed["first_at"] <= completed["last_at"] == newest["recorded_at"]
    assert created["summary"] == f"{user} created 7 tasks"
    assert (created["count"], len(created["events"])) == (7, 5)
    assert listed["summary"] == f"{user} created the list “Home”"


async def test_edits_of_one_task_are_one_line(running_stack: Stack, user: str) -> None:
    """With its latest title, whatever happened in between."""
    async with running_stack.client(user) as client:
        task = await new_task(client, "Buy milk")
        await client.patch(f"/api/tasks/{task}", json={"due": "2026-12-01"})
        await new_task(client, "Something else")
        await client.patch(f"/api/tasks/{task}", json={"title": "Buy oat milk", "notes": "x" * 5000})
        groups = await feed(client)
    assert lines(groups) == [f"{user} edited “Buy oat milk”", f"{user} created 2 tasks"]
    assert (groups[0]["count"], groups[0]["task_count"]) == (2, 1)
    notes = groups[0]["events"][0]["changes"]["notes"]
    assert notes == ["", "x" * 199 + "…"], "long texts are cut"


async def test_moves_within_a_list_are_no_activity(running_stack: Stack, user: str) -> None:
    """Nor is the creation of inboxes; moves out of a list are shown there."""
    async with running_stack.client(user) as client:
        assert await feed(client) == []
        list_id = await new_list(client)
        inbox = (await client.get("/api/me")).json()["inbox_id"]
        task = await new_task(client, "Buy milk")
        answer = await client.post(f"/api/tasks/{task}/move", json={"list_id": list_id})
        assert answer.status_code == 200, answer.text
        assert lines(await feed(client, list_id=inbox)) == [
            f"{user} moved “Buy milk” to another list",
            f"{user} created “Buy milk”",
        ]
        assert lines(await feed(client, list_id=list_id)) == [
            f"{user} moved “Buy milk” here from another list",
            f"{user} created the list “Home”",
        ]
        everywhere = await feed(client)
    assert len(everywhere) == 3, "what was moved is told once"


async def test_pages_neither_split_nor_repeat_groups(running_stack: Stack, user: str) -> None:
    """One group a page, or all at once; later events are on no later page."""
    async with running_stack.client(user) as client:
        for number in range(4):
            list_id = await new_list(client, f"List {number}")
            for title in "ab":
                task = await new_task(client, title, list_id=list_id)
                await client.post(f"/api/tasks/{task}/complete")
        whole = await feed(client, limit=200)
        assert len(whole) == 12
        assert await feed(client, limit=1) == whole
        first = (await client.get("/api/activity", params={"limit": 5})).json()
        await new_task(client, "late")
        rest = await feed(client, limit=5, cursor=first["next_cursor"])
    assert first["items"] + rest == whole


async def test_positions_join_the_feed_with_live_updates(running_stack: Stack, user: str) -> None:
    """They include everything shown, in the body and in the header."""
    async with running_stack.client(user) as client:
        await new_task(client, "Buy milk")
        answer = await client.get("/api/activity")
    positions = answer.json()["positions"]
    partition, offset = answer.json()["items"][0]["events"][0]["position"].split(":")
    assert positions[partition] >= int(offset)
    header = dict(part.split(":") for part in answer.headers["tasktape-position"].split(","))
    assert header == {partition: str(offset) for partition, offset in positions.items()}


async def test_feed_has_only_the_callers_lists(running_stack: Stack, user: str) -> None:
    """A list of others is not found; neither are their events elsewhere; a cursor grants nothing."""
    async with running_stack.client(user) as client, running_stack.client(f"{user}-other") as other:
        list_id = await new_list(client)
        await new_task(client, "Buy milk", list_id=list_id)
        cursor = (await client.get("/api/activity", params={"limit": 1})).json()["next_cursor"]
        for wanted in (list_id, str(uuid4())):
            answer = await other.get("/api/activity", params={"list_id": wanted})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert await feed(other) == []
        assert await feed(other, actor=user) == []
        assert (await other.get("/api/activity", params={"cursor": cursor, "limit": 1})).json()["items"] == []


async def test_feed_of_one_actor(running_stack: Stack, user: str) -> None:
    """In the lists that the caller sees, with `actor`; that of an unknown user is empty."""
    async with running_stack.client(user) as client:
        await new_task(client, "Buy milk")
        assert lines(await feed(client, actor=user)) == [f"{user} created “Buy milk”"]
        assert await feed(client, actor="nobody") == []


async def test_import_is_one_line(running_stack: Stack, user: str) -> None:
    """By the importing user, with the number of tasks; it neither hides nor delays other events."""
    async with running_stack.client(user) as client:
        list_id = await new_list(client)
        await new_task(client, "Before", list_id=list_id)
        received = [
            {
                "key": str(number),
                "events": [
                    {
                        "type": "task.created",
                        "time": "2013-01-01T00:00:00Z",
                        "actor": f"other {number % 9}",
                        "data": {"title": f"Incident {number}"},
                    },
                    {"type": "task.completed", "time": "2013-01-02T00:00:00Z", "actor": "somebody"},
                ],
            }
            for number in range(400)
        ]
        answer = await client.post("/api/import", json={"list": {"id": list_id}, "tasks": received})
        assert answer.status_code == 200, answer.text
        await new_task(client, "After", list_id=list_id)
        groups = await feed(client, list_id=list_id)
    assert lines(groups) == [
        f"{user} created 2 tasks",
        f"{user} imported 400 tasks",
        f"{user} created the list “Home”",
    ]
    assert (groups[1]["count"], len(groups[1]["task_ids"])) == (400, 50)
    assert groups[1]["events"][0]["actor"].startswith("other ")
    assert groups[1]["events"][0]["time"] == "2013-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"limit": 0}, 422),
        ({"limit": 201}, 422),
        ({"list_id": "no id"}, 422),
        ({"user": "x"}, 400),
        ({"cursor": "nonsense"}, 400),
        ({"actor": "\x00"}, 422),
    ],
)
async def test_invalid_requests_are_refused(
    running_stack: Stack, user: str, params: dict[str, Any], status: int
) -> None:
    """With the reason."""
    async with running_stack.client(user) as client:
        answer = await client.get("/api/activity", params=params)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_cursor_of_another_query_is_refused(running_stack: Stack, user: str) -> None:
    """Another list or user is another feed."""
    async with running_stack.client(user) as client:
        await new_task(client, "Buy milk")
        await new_list(client)
        cursor = (await client.get("/api/activity", params={"limit": 1})).json()["next_cursor"]
        answer = await client.get("/api/activity", params={"cursor": cursor, "actor": user})
    assert answer.status_code == 400


async def test_members_see_the_activity_of_their_lists(running_stack: Stack, user: str) -> None:
    """Also from before they joined; and nothing after they have left."""
    bob = f"{user}-bob"
    async with running_stack.client(user) as client, running_stack.client(bob, 1) as other:
        await other.get("/api/me")
        list_id = await new_list(client)
        member = f"/api/lists/{list_id}/members/{bob}"
        added = await client.put(member, json={"role": "editor"})
        assert added.status_code in (200, 201), added.text
        task = await new_task(client, "Buy milk", list_id=list_id)
        done = await other.post(f"/api/tasks/{task}/complete")
        assert done.status_code == 200, done.text
        place = {"Tasktape-Position": done.headers["tasktape-position"]}
        expected = [
            f"{bob} completed “Buy milk”",
            f"{user} created “Buy milk”",
            f"{user} added {bob} as editor",
            f"{user} created the list “Home”",
        ]
        for each in (client, other):
            page = (await each.get("/api/activity", params={"list_id": list_id}, headers=place)).json()
            assert lines(page["items"]) == expected
        assert lines(await feed(client, list_id=list_id, actor=bob)) == [f"{bob} completed “Buy milk”"]
        left = await other.post(f"/api/lists/{list_id}/leave")
        assert left.status_code in (200, 204), left.text
        place = {"Tasktape-Position": left.headers["tasktape-position"]}
        answer = await other.get("/api/activity", params={"list_id": list_id}, headers=place)
        assert answer.status_code == 404
        assert f"{bob} left the list" in lines(await feed(client, list_id=list_id))
