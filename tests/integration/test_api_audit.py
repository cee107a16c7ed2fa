"""The audit over HTTP: questions, cursors, roles, and the record of who read events of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.live_client import live
from tests.integration.stack import Stack


@dataclass
class Work:
    """A list of alice, a task in it, and clients of several roles."""

    alice: httpx.AsyncClient
    stranger: httpx.AsyncClient
    auditor: httpx.AsyncClient
    admin: httpx.AsyncClient
    names: dict[str, str]
    list_id: str
    task_id: str


@pytest.fixture(scope="module")
async def work(running_stack: Stack) -> AsyncIterator[Work]:
    """Yield some work of alice."""
    names = {role: f"{role}-{uuid4().hex[:8]}" for role in ("alice", "stranger", "auditor", "admin")}
    async with (
        running_stack.client(names["alice"]) as alice,
        running_stack.client(names["stranger"]) as stranger,
        running_stack.client(names["auditor"], auditor=True) as auditor,
        running_stack.client(names["admin"], admin=True) as admin,
    ):
        made = await alice.post("/api/lists", json={"name": "Incidents"})
        list_id = made.json()["id"]
        task = await alice.post("/api/tasks", json={"title": "Fix the pump", "list_id": list_id})
        path = f"/api/tasks/{task.json()['id']}"
        for stage in ("Doing", "Done", "Doing"):
            assert (await alice.patch(path, json={"stage": stage})).status_code == 200
        assert (await alice.post(f"{path}/complete")).status_code == 200
        yield Work(alice, stranger, auditor, admin, names, list_id, task.json()["id"])


async def asked(client: httpx.AsyncClient, **parameters: Any) -> Any:
    """Return the answer to a question."""
    answer = await client.get("/api/audit/events", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def reads_of(work: Work, role: str) -> list[Any]:
    """Return the records of a reader's questions, in order, as the reader sees them."""
    client = getattr(work, role)
    found = await asked(client, stream=f"user:{work.names[role]}", sort="position")
    return [each["data"] for each in found["items"] if each["type"] == "user.audit_read"]


async def test_question_finds_events_with_their_changes(work: Work) -> None:
    found = await asked(work.alice, list_id=work.list_id, field="stage", to="Doing", sort="time")
    assert [each["changes"]["stage"] for each in found["items"]] == [[None, "Doing"], ["Done", "Doing"]]
    assert found["next_cursor"] is None
    assert found["positions"]
    words = await asked(work.alice, q="pum*", type="task.*")
    assert [each["type"] for each in words["items"]] == ["task.created"]
    history = (await work.alice.get(f"/api/tasks/{work.task_id}/history")).json()["items"]
    mine = await asked(work.alice, stream=f"task:{work.task_id}", sort="position")
    assert mine["items"] == history


async def test_pages_follow_each_other_and_a_cursor_belongs_to_its_question(work: Work) -> None:
    whole = (await asked(work.alice, list_id=work.list_id, sort="-recorded_at"))["items"]
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = await asked(work.alice, list_id=work.list_id, sort="-recorded_at", limit=2, **cursor)
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == whole
    for other in ({"sort": "time"}, {"actor": "bob"}, {"cursor": "x"}):
        parameters = {"list_id": work.list_id, "sort": "-recorded_at", **cursor, **other}
        refused = await work.alice.get("/api/audit/events", params=parameters)
        assert (refused.status_code, refused.json()["code"]) == (400, "malformed")


async def test_counts_are_by_value_or_period(work: Work) -> None:
    found = await asked(work.alice, list_id=work.list_id, field="stage", group_by="to")
    assert {each["key"]: each["count"] for each in found["groups"]} == {"Doing": 2, "Done": 1}
    days = await asked(work.alice, list_id=work.list_id, group_by="day", time_zone="Asia/Tokyo")
    assert sum(each["count"] for each in days["groups"]) == 6


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"actr": "bob"}, 400, "did you mean actor?"),
        ({"type": "task.complete"}, 422, "did you mean task.completed?"),
        ({"sort": "tim"}, 422, "did you mean time?"),
        ({"group_by": "actors"}, 422, "did you mean actor?"),
        ({"limit": "1001"}, 422, "limit"),
        ({"to": "Done"}, 422, "give one field with it"),
        ({"group_by": "actor", "cursor": "x"}, 422, "counts have one page"),
    ],
)
async def test_wrong_question_is_refused(
    work: Work, parameters: dict[str, str], status: int, message: str
) -> None:
    answer = await work.alice.get("/api/audit/events", params=parameters)
    assert answer.status_code == status
    assert message in answer.json()["detail"]


async def test_others_see_nothing_and_administrators_and_auditors_everything(work: Work) -> None:
    for parameters in ({"list_id": work.list_id}, {"stream": f"task:{work.task_id}"}):
        assert (await asked(work.stranger, **parameters))["items"] == []
        for reader in (work.admin, work.auditor):
            assert (await asked(reader, **parameters))["items"]
    mine = await asked(work.stranger)
    assert {each["stream"] for each in mine["items"]} == {mine["items"][0]["stream"]}  # the inbox


async def test_reading_of_others_is_recorded_once_for_a_question(work: Work) -> None:
    """Before the answer, and not for each page; only who read it, and those who read everything, see it."""
    question = {"list_id": work.list_id, "sort": "time", "limit": "2", "outcome": "accepted"}
    first = await asked(work.auditor, **question)
    await asked(work.auditor, **question, cursor=first["next_cursor"])
    await asked(work.auditor, **question)
    await asked(work.auditor, list_id=work.list_id, outcome="accepted", group_by="actor")
    text = f"list_id={work.list_id}&outcome=accepted"
    assert [each for each in await reads_of(work, "auditor") if each["question"] == text] == [
        {"means": "query", "question": text},
        {"means": "count", "question": text},
    ]
    stream = f"user:{work.names['auditor']}"
    assert (await asked(work.alice, stream=stream))["items"] == []
    assert (await asked(work.admin, stream=stream))["items"]


async def test_reading_of_own_events_is_not_recorded(work: Work) -> None:
    await asked(work.alice)
    assert await reads_of(work, "alice") == []
    made = await work.admin.post("/api/tasks", json={"title": "Mine"})
    await asked(work.admin, stream=f"task:{made.json()['id']}", type="task.*")
    await asked(work.admin, list_id=made.json()["list_id"], type="task.*")
    recorded = [each["question"] for each in await reads_of(work, "admin")]
    assert not [each for each in recorded if made.json()["id"] in each or made.json()["list_id"] in each]


async def test_auditor_gives_no_command(running_stack: Stack, work: Work) -> None:
    """Not even the inbox is made, over HTTP or by a socket."""
    refused = [
        await work.auditor.post("/api/tasks", json={"title": "No"}),
        await work.auditor.patch(f"/api/tasks/{work.task_id}", json={"title": "No"}),
        await work.auditor.delete(f"/api/tasks/{work.task_id}"),
        await work.auditor.post("/api/bulk", json={"commands": []}),
        await work.auditor.post("/api/notifications/read-all"),
        await work.auditor.get("/api/dead-letters"),
    ]
    assert [(each.status_code, each.json()["code"]) for each in refused] == [(403, "forbidden")] * 6
    token = running_stack.token(work.names["auditor"], auditor=True)
    async with live(running_stack.ws_url(), token):
        pass
    own = await asked(work.auditor, actor=work.names["auditor"])
    assert {each["type"] for each in own["items"]} == {"user.audit_read"}
    me = (await work.auditor.get("/api/me")).json()
    assert (me["admin"], me["auditor"]) == (False, True)
