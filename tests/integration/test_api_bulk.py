"""Bulk commands in one request, through Kafka, the worker and Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.stack import Stack


@pytest.fixture
async def client(running_stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as found:
        yield found


async def bulk(client: httpx.AsyncClient, *commands: Any, **headers: str) -> list[dict[str, Any]]:
    """Return the outcomes of commands."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await client.post("/api/bulk", json={"commands": list(commands)}, headers=given)
    assert answer.status_code == 200, answer.text
    outcomes: list[dict[str, Any]] = answer.json()["outcomes"]
    assert len(outcomes) == len(commands)
    return outcomes


def create(title: str, **fields: Any) -> dict[str, Any]:
    return {"command": "create", "body": {"title": title, **fields}}


async def made(client: httpx.AsyncClient, *titles: str, **fields: Any) -> list[str]:
    """Return the ids of new tasks."""
    return [each["task"]["id"] for each in await bulk(client, *(create(t, **fields) for t in titles))]


async def test_every_command_has_its_outcome(client: httpx.AsyncClient) -> None:
    """In order, each as if sent alone; an invalid one does not affect the others."""
    task, other, gone = await made(client, "task", "other", "gone")
    outcomes = await bulk(
        client,
        create("new", tags=["x"]),
        {"command": "edit", "task_id": task, "body": {"priority": "high"}, "if_match": 1},
        {"command": "complete", "task_id": task},
        {"command": "reopen", "task_id": task},
        {"command": "undo", "task_id": task},
        {"command": "undo", "task_id": task, "body": {"version": 5}},
        {"command": "comment", "task_id": other, "body": {"text": "Look"}},
        {"command": "move", "task_id": other, "body": {"before": task}},
        {"command": "delete", "task_id": gone},
        {"command": "restore", "task_id": gone},
        {"command": "skip", "task_id": other},
        {"command": "complete", "task_id": str(uuid4())},
        {"command": "edit", "task_id": other, "body": {"title": ""}},
        {"command": "explode", "task_id": other},
        {"command": "complete"},
        create("x") | {"task_id": task},
        create("x") | {"if_match": 1},
        {"command": "reopen", "task_id": other, "cascade": True},
        {"command": "complete", "task_id": other, "scope": "this"},
        {"command": "complete", "task_id": other, "if_match": 99},
        "complete",
        None,
        {"command": "complete", "task_id": "x"},
    )
    assert [each["status"] for each in outcomes] == [
        *(201, 200, 200, 200, 200, 200, 201, 200, 204, 200),
        *(409, 404, 422, 422, 422, 422, 412, 422, 422, 412, 400, 400, 422),
    ]
    for outcome in outcomes[:10]:
        assert "problem" not in outcome
        assert ":" in outcome["position"]
    assert outcomes[0]["location"] == f"/api/tasks/{outcomes[0]['task']['id']}"
    assert outcomes[0]["task"]["tags"] == ["x"]
    assert [each["task"]["version"] for each in outcomes[1:6]] == [2, 3, 4, 5, 6]
    assert [each["task"]["status"] for each in outcomes[2:6]] == ["done", "open", "done", "open"]
    assert outcomes[6]["location"].startswith(f"/api/tasks/{other}/comments/")
    assert set(outcomes[8]) == {"status", "position"}
    fields = [each["problem"].get("errors", [{}])[0].get("field") for each in outcomes[10:]]
    assert fields == [
        *(None, None, "title", "command", "task_id", "task_id", None, "cascade", "scope", None, None, None),
        "task_id",
    ]
    for outcome in outcomes[10:]:
        assert outcome["problem"]["status"] == outcome["status"]
        assert set(outcome) == {"status", "problem"}
    assert (await client.get(f"/api/tasks/{task}")).json() == outcomes[5]["task"]


async def test_response_has_the_positions_of_all_commands(client: httpx.AsyncClient) -> None:
    """A read after them sees everything."""
    answer = await client.post("/api/bulk", json={"commands": [create(f"t{number}") for number in range(20)]})
    positions = answer.headers["tasktape-position"]
    last: dict[str, int] = {}
    for outcome in answer.json()["outcomes"]:
        partition, _, offset = outcome["position"].partition(":")
        last[partition] = max(int(offset), last.get(partition, -1))
    assert dict(part.split(":") for part in positions.split(",")) == {p: str(o) for p, o in last.items()}
    page = await client.get("/api/tasks", headers={"Tasktape-Position": positions})
    assert [task["title"] for task in page.json()["items"]] == [f"t{number}" for number in range(20)]


async def test_dependent_commands_keep_their_order(client: httpx.AsyncClient) -> None:
    """A parent is completed after its sub-tasks, and tasks come to the end of a list in order."""
    [parent] = await made(client, "parent")
    children = await made(client, *(f"c{number}" for number in range(6)), parent_id=parent)
    done = [{"command": "complete", "task_id": each} for each in (*children, parent)]
    assert {each["status"] for each in await bulk(client, *done)} == {200}
    there = (await client.post("/api/lists", json={"name": "There"})).json()["id"]
    tasks = await made(client, *"abcdefgh")
    order = [tasks[place] for place in (3, 1, 4, 0, 5, 2, 6, 7)]
    await bulk(client, *({"command": "move", "task_id": each, "body": {"list_id": there}} for each in order))
    page = await client.get("/api/tasks", params={"list_id": there})
    assert [task["id"] for task in page.json()["items"]] == order
    await bulk(
        client,
        {"command": "move", "task_id": tasks[0], "body": {"before": order[0]}},
        {"command": "move", "task_id": tasks[1], "body": {"after": tasks[0]}},
        {"command": "move", "task_id": tasks[2], "body": {"after": tasks[1]}},
    )
    page = await client.get("/api/tasks", params={"list_id": there})
    assert [task["title"] for task in page.json()["items"]] == list("abcdefgh")


async def test_cascades_and_undos_in_bulk(client: httpx.AsyncClient) -> None:
    """A cascade and two undos at once."""
    parents = await made(client, "p", "q")
    for parent in parents:
        await made(client, "child", parent_id=parent)
    refused = await bulk(client, *({"command": "complete", "task_id": each} for each in parents))
    assert {each["status"] for each in refused} == {409}
    done = await bulk(
        client, *({"command": "complete", "task_id": each, "cascade": True} for each in parents)
    )
    assert {each["status"] for each in done} == {200}
    undone = await bulk(client, *({"command": "undo", "task_id": each} for each in parents))
    assert {each["task"]["status"] for each in undone} == {"open"}
    open_tasks = (await client.get("/api/tasks", params={"status": "open"})).json()["items"]
    assert len(open_tasks) == 4


async def test_key_applies_to_every_command(client: httpx.AsyncClient) -> None:
    """A repeat writes nothing and has the same result; a changed command is refused alone."""
    [task] = await made(client, "task")
    commands = [create("once"), {"command": "undo", "task_id": task}, {"command": "complete", "task_id": "x"}]
    commands.append({"command": "comment", "task_id": task, "body": {"text": "too late"}})
    key = uuid4().hex
    first, again = await asyncio.gather(
        bulk(client, *commands, Idempotency_Key=key), bulk(client, *commands, Idempotency_Key=key)
    )
    assert [each["status"] for each in first] == [201, 200, 422, 404]
    assert first[:2] == again[:2]
    assert len((await client.get("/api/tasks")).json()["items"]) == 1
    other = await bulk(client, create("twice"), *commands[1:], Idempotency_Key=key)
    assert other[0]["problem"]["code"] == "idempotency_key_reused"
    assert other[1] == first[1]
    single = await client.post("/api/tasks", json={"title": "own"}, headers={"Idempotency-Key": key})
    assert single.status_code == 201


async def test_bulk_without_waiting_is_202(client: httpx.AsyncClient) -> None:
    """Everything is written, and each command has a URL to poll."""
    answer = await client.post(
        "/api/bulk",
        json={"commands": [create("later"), create("")]},
        headers={"Prefer": "respond-async"},
    )
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "respond-async")
    written, bad = answer.json()["outcomes"]
    assert (written["status"], bad["status"]) == (202, 422)
    position = {"Tasktape-Position": answer.headers["tasktape-position"]}
    assert (await client.get("/api/me", headers=position)).status_code == 200
    outcome = await client.get(written["location"])
    assert (outcome.json()["outcome"], outcome.json()["task"]["title"]) == ("accepted", "later")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "commands"),
        ({"commands": "x"}, 422, "commands"),
        ({"commands": [create("x")] * 1001}, 422, "commands"),
        ({"commands": [], "more": 1}, 422, "more"),
    ],
)
async def test_invalid_requests_are_refused_whole(
    client: httpx.AsyncClient, body: Any, status: int, field: str
) -> None:
    """Nothing of them is executed."""
    answer = await client.post("/api/bulk", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, field)
    assert (await client.get("/api/tasks")).json()["items"] == []


async def test_list_is_restored_before_commands_in_it(client: httpx.AsyncClient) -> None:
    """Commands on its tasks wait for that; each outcome names its subject."""
    path = (await client.post("/api/lists", json={"name": "Garden"})).headers["location"]
    list_id = path.rpartition("/")[2]
    [task] = await made(client, "Dig", list_id=list_id)
    [other] = await made(client, "Elsewhere")
    await client.delete(path)
    outcomes = await bulk(
        client,
        {"command": "complete", "task_id": task},
        {"command": "restore_list", "list_id": list_id},
        {"command": "complete", "task_id": task},
        {"command": "complete", "task_id": other},
        {"command": "restore_list", "list_id": list_id},
        {"command": "restore_list", "list_id": str(uuid4())},
        {"command": "restore_list"},
        {"command": "restore_list", "list_id": list_id, "task_id": task},
        {"command": "complete", "task_id": task, "list_id": list_id},
    )
    assert [each["status"] for each in outcomes] == [404, 200, 200, 200, 200, 404, 422, 422, 422]
    assert outcomes[0]["problem"]["detail"] == "the list was deleted: restore it first"
    assert (outcomes[1]["list"]["id"], outcomes[1]["list"]["deleted_at"]) == (list_id, None)
    assert ("task" in outcomes[1], outcomes[2]["task"]["status"]) == (False, "done")
    assert [each["problem"]["errors"][0]["field"] for each in outcomes[6:]] == [
        "list_id",
        "task_id",
        "list_id",
    ]


async def test_versions_and_keys_are_per_command(client: httpx.AsyncClient) -> None:
    """A common version is refused, and so is an invalid key; keys are optional."""
    matched = await client.post("/api/bulk", json={"commands": []}, headers={"If-Match": '"1"'})
    assert matched.status_code == 412
    keyed = await client.post("/api/bulk", json={"commands": [create("x")]}, headers={"Idempotency-Key": ""})
    assert keyed.status_code == 400
    assert await bulk(client) == []


async def test_a_hundred_commands_take_as_long_as_a_few(client: httpx.AsyncClient) -> None:
    """The maximum, over several partitions."""
    ids = await made(client, *(f"t{number}" for number in range(100)))
    outcomes = await bulk(client, *({"command": "complete", "task_id": each} for each in ids))
    assert {each["status"] for each in outcomes} == {200}
    assert [each["task"]["id"] for each in outcomes] == ids
