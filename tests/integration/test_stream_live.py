"""Event streams through the real parts: across nodes, over restarts, and as memberships change."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.api.event_client import Event, EventReader, events
from tests.integration.stack import Stack
from tests.ports import free_port

CORS_HEADERS = {"Origin": "https://tasks.example", "Access-Control-Request-Method": "GET"}


@pytest.fixture
def user() -> str:
    """Return a user that no other test uses."""
    return f"user {uuid4().hex[:8]} %"


async def add(client: httpx.AsyncClient, title: str, **more: Any) -> dict[str, Any]:
    """Create a task."""
    answer = await client.post("/api/tasks", json={"title": title, **more})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


async def titles(stream: EventReader, count: int) -> list[str]:
    """Return the titles of the tasks of the next updates."""
    return [(await stream.update("task."))["task"]["title"] for _ in range(count)]


async def test_updates_of_one_node_stream_from_the_other(running_stack: Stack, user: str) -> None:
    """The same message as over a socket; many of them over one connection."""
    async with (
        running_stack.client(user, 0) as client,
        running_stack.client(user, 1) as reader,
        events(reader) as stream,
    ):
        hello = await stream.next()
        assert hello.message["user"] == user
        created = await client.post("/api/tasks", json={"title": "Buy\r\nmilk \u2028"})
        update = await stream.update(of=created.json()["id"])
        assert update["task"] == created.json()
        assert update["position"] == created.headers["Tasktape-Position"]
        assert update["position"] in (stream.place or "")
        many = [f"task {number}" for number in range(50)]
        for title in many:
            await add(client, title)
        assert sorted(await titles(stream, 50)) == sorted(many)


async def test_token_may_be_in_the_query(running_stack: Stack, user: str) -> None:
    """There, and nowhere else."""
    token = running_stack.token(user)
    async with httpx.AsyncClient(base_url=running_stack.urls[0], trust_env=False) as client:
        async with events(client, params={"access_token": token}) as stream:
            assert (await stream.next()).message["user"] == user
        assert (await client.get("/api/tasks", params={"access_token": token})).status_code == 401
        assert (await client.get("/api/stream")).status_code == 401


async def test_restarting_node_loses_and_repeats_nothing(running_stack: Stack, user: str) -> None:
    """For a client that resumes as a browser does: with the last event id, after the retry time."""
    port = free_port()
    part = running_stack.start_api(port)
    url = running_stack.urls.pop()
    headers = {"Authorization": f"Bearer {running_stack.token(user)}"}
    async with (
        running_stack.client(user) as client,
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as reader,
    ):
        task = await add(client, "title 0")
        writing = asyncio.create_task(_edit(client, task["id"], 60))
        versions: list[int] = []
        async with events(reader, ",") as stream:
            while len(versions) < 10:
                versions += _versions(await stream.next(), task["id"])
            stopping = asyncio.create_task(asyncio.to_thread(part.stop))
            last = await stream.rest()
            versions += [each for event in last for each in _versions(event, task["id"])]
            assert (last[-1].name, last[-1].message["code"]) == ("goodbye", 4001)
            assert last[-1].retry_ms is not None
            await stopping
            place = stream.place
        await asyncio.to_thread(running_stack.start_api, port)
        running_stack.urls.pop()
        async with events(reader, place) as stream:
            while len(versions) < 61:
                versions += _versions(await stream.next(), task["id"])
        await writing
    assert versions == list(range(1, 62))
    running_stack.parts[-1].stop()


def _versions(event: Event, task_id: str) -> list[int]:
    """Return the version of the task in an event, if it is an update of it."""
    if event.name != "update" or event.message["event"]["stream"] != f"task:{task_id}":
        return []
    return [event.message["task"]["version"]]


async def _edit(client: httpx.AsyncClient, task_id: str, count: int) -> None:
    for number in range(count):
        answer = await client.patch(f"/api/tasks/{task_id}", json={"title": f"title {number + 1}"})
        assert answer.status_code == 200


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_random_interruptions_lose_and_repeat_nothing(
    running_stack: Stack, user: str, seed: int
) -> None:
    """From one node to the other, in the middle of a recovery, under load."""
    chance = random.Random(seed)
    async with running_stack.client(user, 0) as one, running_stack.client(user, 1) as other:
        task = await add(one, "title 0")
        async with events(one) as stream:
            place = (await stream.next()).place
        first = int(task["version"])
        writing = asyncio.create_task(_edit(one, task["id"], 60))
        versions: list[int] = []
        while len(versions) < 60:
            async with events(chance.choice([one, other]), place) as stream:
                for _ in range(chance.randrange(12)):
                    if len(versions) < 60:
                        versions.append((await stream.update("task."))["task"]["version"])
                place = stream.place
        await writing
    assert versions == list(range(first + 1, first + 61))


async def test_removed_member_receives_no_more_of_a_list(running_stack: Stack, user: str) -> None:
    """An added one gets all of it."""
    guest = f"{user} guest"
    async with running_stack.client(user) as client, running_stack.client(guest, 1) as reader:
        garden = (await client.post("/api/lists", json={"name": "Garden"})).json()["id"]
        await add(client, "dig", list_id=garden)
        assert (await reader.get("/api/stream", params={"channel": f"list:{garden}"})).status_code == 404
        async with events(reader) as stream:
            await stream.next()
            member = f"/api/lists/{garden}/members/{quote(guest)}"
            await client.put(member, json={"role": "viewer"})
            while (await stream.named("subscribed")).message["channel"] != f"list:{garden}":
                pass
            seen = [await stream.update()]
            while seen[-1]["event"]["type"] != "list.member_added":
                seen.append(await stream.update())
            assert "dig" in [(each["task"] or {}).get("title") for each in seen]
            await client.delete(member)
            assert (await stream.named("unsubscribed")).message["channel"] == f"list:{garden}"
            await add(client, "secret", list_id=garden)
            await add(reader, "own")
            assert await titles(stream, 1) == ["own"]


async def test_other_origins_need_permission(running_stack: Stack, user: str) -> None:
    """By the same setting as for other requests."""
    async with running_stack.client(user) as client:
        asked = {**CORS_HEADERS, "Access-Control-Request-Headers": "authorization,last-event-id"}
        refused = await client.options("/api/stream", headers=asked)
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "application/problem+json"
        assert "access-control-allow-origin" not in refused.headers
