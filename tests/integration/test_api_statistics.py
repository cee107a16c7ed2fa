"""Statistics over HTTP on a real stack."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.stack import Stack

STAGES = [
    {"name": "To do", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
]


@pytest.fixture
def user() -> str:
    """Return a user whom no other test uses."""
    return f"user-{uuid4().hex[:8]}"


async def new_list(client: httpx.AsyncClient, **fields: Any) -> str:
    """Return a list of the client's own, with stages."""
    answer = await client.post("/api/lists", json={"name": "Home", "stages": STAGES, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def statistics(client: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    answer = await client.get("/api/stats", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["Tasktape-Position"]
    return found


async def test_own_changes_count_at_once(running_stack: Stack, user: str) -> None:
    """By day, stage and assignee, in the list's time zone; all lists together include it."""
    async with running_stack.client(user) as client:
        list_id = await new_list(client, time_zone="Pacific/Kiritimati")
        tasks = []
        for number in range(3):
            fields = {"title": f"Task {number}", "list_id": list_id, "estimate": 30, "due": "2026-01-01"}
            tasks.append((await client.post("/api/tasks", json=fields)).json()["id"])
        await client.post(f"/api/tasks/{tasks[0]}/complete")
        done = await client.patch(f"/api/tasks/{tasks[1]}", json={"stage": "Doing", "assignees": ["bob"]})
        after = {"Tasktape-Position": done.headers["Tasktape-Position"]}
        answer = await client.get(
            "/api/stats", params={"list_id": list_id, "group_by": "assignee", "forecast": 5}, headers=after
        )
        found = answer.json()
        everything = await statistics(client)
        copied = await statistics(client, list_id=list_id, as_of=found["at"])
    assert (found["list_id"], found["time_zone"]) == (list_id, "Pacific/Kiritimati")
    today = found["days"][-1]
    expected = {"created": 3, "completed": 1, "throughput": 1, "open": 2, "done": 1, "scope": 3}
    expected |= {"overdue": 2, "in_progress": 1, "open_minutes": 60, "completed_minutes": 30}
    assert expected.items() <= today.items()
    assert (len(found["days"]), found["lead_time"]["count"], len(found["open_tasks"])) == (30, 1, 2)
    assert {group["key"]: group["open"][-1] for group in found["groups"]} == {None: 1, "bob": 1}
    assert [(band["stage"], band["tasks"][-1]) for band in found["cumulative_flow"]] == [
        ("To do", 1),
        ("Doing", 1),
        ("Done", 1),
    ]
    assert (found["forecast"]["tasks"], found["forecast"]["sampled_days"]) == (5, 30)
    assert everything["days"][-1]["open"] == 2
    assert everything["list_id"] is None
    assert copied["days"] == found["days"]


@pytest.mark.parametrize(
    ("params", "status", "said"),
    [
        ({"from": "2026-02-02", "to": "2026-02-01"}, 422, "must not be after `to`"),
        ({"from": "2020-01-01", "to": "2026-02-01"}, 422, "at most 1,100 days"),
        ({"from": "yesterday"}, 422, "must be a date"),
        ({"to": "2026-02-30"}, 422, "must be a date"),
        ({"from": "0001-01-01"}, 422, "1900-01-01"),
        ({"group_by": "color"}, 422, "'assignee'"),
        ({"forecast": "0"}, 422, "greater than or equal to 1"),
        ({"forecast": "-1"}, 422, "whole number"),
        ({"forecast": "10001"}, 422, "less than or equal to 10000"),
        ({"time_zone": "Mars/Olympus"}, 422, "IANA"),
        ({"as_of": "tomorrow"}, 422, "date-time"),
        ({"list_id": "mine"}, 422, "list_id"),
        ({"list_id": str(uuid4())}, 404, "no such list"),
        ({"color": "red"}, 400, "unknown parameter 'color'"),
        ({"from_": "2026-01-01"}, 400, "unknown parameter 'from_'"),
    ],
)
async def test_bad_input_is_refused(
    running_stack: Stack, user: str, params: dict[str, str], status: int, said: str
) -> None:
    async with running_stack.client(user) as client:
        answer = await client.get("/api/stats", params=params)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert said in answer.text


async def test_lists_of_others_and_deleted_lists_are_not_found(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client, running_stack.client("somebody-else") as other:
        list_id = await new_list(client)
        assert (await other.get("/api/stats", params={"list_id": list_id})).status_code == 404
        assert (await client.get("/api/stats", params={"list_id": list_id})).status_code == 200
        await client.delete(f"/api/lists/{list_id}")
        gone = await client.get("/api/stats", params={"list_id": list_id})
    assert gone.status_code == 404
    assert "restore it first" in gone.text


async def test_time_before_the_first_event_is_empty(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client:
        list_id = await new_list(client)
        await client.post("/api/tasks", json={"title": "A task", "list_id": list_id})
        for name in ("as_of", "as_recorded_at"):
            found = await statistics(client, list_id=list_id, **{name: "2000-01-01T00:00:00Z"})
            assert len(found["days"]) == 30
            assert {day["scope"] + day["created"] for day in found["days"]} == {0}
            assert found["open_tasks"] == found["cumulative_flow"] == []


async def test_time_zone_of_a_list_can_be_set_and_cleared(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client:
        list_id = await new_list(client)
        for name in ("Europe/Madrid", None):
            changed = await client.patch(f"/api/lists/{list_id}", json={"time_zone": name})
            assert (changed.status_code, changed.json()["time_zone"]) == (200, name)
            assert (await statistics(client, list_id=list_id))["time_zone"] == name or "UTC"
        refused = await client.patch(f"/api/lists/{list_id}", json={"time_zone": "Mars"})
        feed = (await client.get("/api/activity", params={"list_id": list_id})).json()["items"]
    assert refused.status_code == 422
    assert feed[0]["summary"] == f"{user} changed the list's time zone 2 times"
