"""Batch creation of tasks on a log in memory: each task is handled as if it were created alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.main import application
from app.settings import Settings
from app.tasks.state import Task
from tasktape.local.tokens import mint
from tests.api.memory_stack import World, dependencies_on

SECRET = "a secret of the tests that is long enough"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running() as running:
        yield running


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(jwt_secret=SECRET, command_wait_ms=5000)
    app = application(settings)
    app.state.deps = dependencies_on(world, world.node(), settings, None)
    headers = {"Authorization": f"Bearer {mint(SECRET, 'alice', admin=False, ttl_s=60)}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://tasktape.test", headers=headers) as c:
        yield c


def create(title: Any, **fields: Any) -> dict[str, Any]:
    return {"command": "create", "body": {"title": title, **fields}}


async def bulk(client: httpx.AsyncClient, *commands: Any, key: str | None = None) -> list[dict[str, Any]]:
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = await client.post("/api/bulk", json={"commands": commands}, headers=headers)
    assert answer.status_code == 200, answer.text
    outcomes: list[dict[str, Any]] = answer.json()["outcomes"]
    return outcomes


async def state(world: World, outcome: dict[str, Any]) -> Task:
    found = await world.state(f"task:{outcome['task']['id']}")
    assert isinstance(found, Task)
    return found


async def test_batch_keeps_the_order_of_its_tasks(client: httpx.AsyncClient, world: World) -> None:
    """Order by rank and by time; each task has a record of its own."""
    outcomes = await bulk(client, *(create(f"Task {number}") for number in range(300)))
    assert [each["status"] for each in outcomes] == [201] * 300
    assert [each["task"]["title"] for each in outcomes] == [f"Task {number}" for number in range(300)]
    assert outcomes[0]["location"] == f"/api/tasks/{outcomes[0]['task']['id']}"
    tasks = [await state(world, each) for each in outcomes]
    for key in ("rank", "created_at"):
        values = [getattr(task, key) for task in tasks]
        assert values == sorted(values)
        assert len(set(values)) == 300
    assert len({each["position"] for each in outcomes}) == 300
    later = (await client.post("/api/tasks", json={"title": "Later"})).json()
    assert later["rank"] > tasks[-1].rank


async def test_refused_task_does_not_affect_the_others_of_its_batch(client: httpx.AsyncClient) -> None:
    """Invalid body, missing list, invalid key: each is refused in its place."""
    nowhere = str(uuid4())
    outcomes = await bulk(
        client,
        create("one"),
        create(""),
        create("elsewhere", list_id=nowhere),
        create("elsewhere too", list_id=nowhere),
        create(5),
        create("a bad key") | {"key": "é"},
        create("a key that is none") | {"key": 5},
        "nothing",
        create("two"),
    )
    assert [each["status"] for each in outcomes] == [201, 422, 404, 404, 422, 422, 422, 400, 201]
    assert outcomes[5]["problem"]["errors"][0]["field"] == "key"


async def test_repeated_batch_creates_no_task_twice(client: httpx.AsyncClient, world: World) -> None:
    """Same request key, or same task key in whichever request."""
    commands = [create(f"Task {number}") for number in range(5)]
    first = await bulk(client, *commands, key="request")
    assert await bulk(client, *commands, key="request") == first
    own = [each | {"key": f"run:{number}"} for number, each in enumerate(commands)]
    second = await bulk(client, *own[:3])
    again = await bulk(client, *own)
    assert again[:3] == second
    assert await bulk(client, *own[3:], own[0]) == [*again[3:], second[0]]
    assert (await bulk(client, create("another") | {"key": "run:0"}))[0]["problem"][
        "code"
    ] == "idempotency_key_reused"
    twice = await bulk(client, create("x") | {"key": "same"}, create("x") | {"key": "same"})
    assert twice[0] == twice[1]
    created = [each for each in world.accepted_records if each.data.type == "task.created"]
    assert len(created) == 5 + 5 + 1


async def test_batch_checks_each_stage_against_its_list(client: httpx.AsyncClient) -> None:
    """Unknown stages are refused as for a single task."""
    stages = [{"name": "To do", "category": "open"}, {"name": "Done", "category": "done"}]
    made = (await client.post("/api/lists", json={"name": "Board", "stages": stages})).json()
    outcomes = await bulk(
        client,
        *(create(stage, list_id=made["id"], stage=stage) for stage in ("To do", "Gone", "To do")),
        create("sub", list_id=made["id"]),
    )
    assert [each["status"] for each in outcomes] == [201, 422, 201, 201]
    assert outcomes[2]["task"]["stage"] == "To do"


async def test_batch_is_503_while_the_log_is_unavailable(client: httpx.AsyncClient, world: World) -> None:
    """Each task is 503, unless its outcome shows that it was written."""
    await bulk(client, create("before"))
    for fails, expected in (("before", 503), ("late", 201), (None, 201)):
        world.log.fails = fails
        outcomes = await bulk(client, create("one"), create("two"))
        assert [each["status"] for each in outcomes] == [expected, expected], fails


async def test_batch_is_202_without_a_worker(client: httpx.AsyncClient, world: World) -> None:
    """Each task has a URL to poll."""
    await bulk(client, create("before"))
    world.hold()
    commands = {"commands": [create("one"), create("two")]}
    answer = await client.post("/api/bulk", json=commands, headers={"Prefer": "respond-async"})
    outcomes = answer.json()["outcomes"]
    assert [each["status"] for each in outcomes] == [202, 202]
    assert outcomes[1]["location"] == f"/api/outcomes/{outcomes[1]['position']}"
    world.release()
