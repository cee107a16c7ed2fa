"""Live updates over real sockets, through real Kafka, Postgres, Faust and two API nodes."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.live_client import LiveClient, live
from tests.integration.stack import Stack
from tests.waiting import eventually


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


async def titles(live_client: LiveClient, count: int) -> list[str]:
    """Return the titles of the tasks of the next updates."""
    return [(await live_client.update("task."))["task"]["title"] for _ in range(count)]


async def test_change_on_one_node_is_received_on_the_other(running_stack: Stack, user: str) -> None:
    """With the event, its changes, the whole state, and its position."""
    token = running_stack.token(user)
    async with running_stack.client(user, 0) as client, live(running_stack.ws_url(1), token) as other:
        created = await client.post("/api/tasks", json={"title": "Buy milk"})
        task_id = created.json()["id"]
        update = await other.update(of=task_id)
        assert update["channel"] == f"list:{created.json()['list_id']}"
        assert update["position"] == created.headers["Tasktape-Position"]
        assert update["task"] == created.json()
        assert update["event"]["type"] == "task.created"
        assert update["event"]["actor"] == user
        done = await client.post(f"/api/tasks/{task_id}/complete")
        update = await other.update(of=task_id)
        assert update["changes"]["status"] == ["open", "done"]
        assert update["task"] == done.json()
        await client.delete(f"/api/tasks/{task_id}")
        update = await other.update(of=task_id)
        assert (update["task"], update["event"]["type"]) == (None, "task.deleted")


async def test_first_socket_of_a_user_has_the_inbox(running_stack: Stack, user: str) -> None:
    """From the start."""
    async with live(running_stack.ws_url(), running_stack.token(user)) as first:
        assert first.hello["user"] == user
        channels = list(first.hello["channels"])
        while not any(channel.startswith("list:") for channel in channels):
            channels.append((await first.receive(type="subscribed"))["channel"])


@pytest.mark.parametrize("node", [0, 1])
async def test_missed_updates_are_received_once_and_in_order(
    running_stack: Stack, user: str, node: int
) -> None:
    """However and wherever the client resumes."""
    token = running_stack.token(user)
    async with running_stack.client(user) as client:
        await add(client, "before")
        async with live(running_stack.ws_url(0), token) as first:
            await add(client, "seen")
            assert await titles(first, 1) == ["seen"]
        made = [f"missed {number}" for number in range(25)]
        for title in made:
            await add(client, title)
        async with live(running_stack.ws_url(node), token, first.positions) as again:
            assert sorted(await titles(again, len(made))) == sorted(made)
            await add(client, "after")
            assert await titles(again, 1) == ["after"]


async def test_resuming_from_the_very_beginning(running_stack: Stack, user: str) -> None:
    """An empty `since` sends the whole history, list by list, from the audit."""
    token = running_stack.token(user)
    async with running_stack.client(user) as client, live(running_stack.ws_url(1), token) as present:
        task = await add(client, "old")
        await client.patch(f"/api/tasks/{task['id']}", json={"title": "older"})
        await present.update("task.edited")
        history = (await client.get(f"/api/tasks/{task['id']}/history")).json()["items"]
        async with live(running_stack.ws_url(1), token, {}) as again:
            missed = [await again.update() for _ in range(again.hello["missed"])]
    # The inbox's creation comes before or after them: order holds within a partition only.
    ours = [update for update in missed if update["event"]["stream"] == f"task:{task['id']}"]
    events = [update["event"] for update in ours]
    assert [event["type"] for event in events] == ["task.created", "task.edited"]
    for shown, event in zip(history, events, strict=True):
        described = {"changes", "sentence", "diff"}
        assert {name: value for name, value in shown.items() if name not in described} == event
    assert ours[-1]["task"]["title"] == "older"


async def test_recovered_update_equals_the_live_one(running_stack: Stack, user: str) -> None:
    token = running_stack.token(user)
    async with running_stack.client(user) as client, live(running_stack.ws_url(), token) as now:
        await add(client, "warm up")
        await now.update("task.created")
        before = dict(now.positions)
        await add(client, "x" * 500, notes="ünï\u2028\x07", tags=["a", "b"], due="2027-01-01")
        alive = await now.update("task.created")
        async with live(running_stack.ws_url(1), token, before) as again:
            assert await again.update(of=alive["task"]["id"]) == alive


async def test_new_list_and_its_tasks_reach_open_sockets(running_stack: Stack, user: str) -> None:
    """Without subscribing to the list."""
    token = running_stack.token(user)
    async with running_stack.client(user) as client, live(running_stack.ws_url(1), token) as other:
        created = (await client.post("/api/lists", json={"name": "Garden"})).json()
        await add(client, "Water the plants", list_id=created["id"])
        seen = [await other.receive()]
        while seen[-1].get("task") is None:
            seen.append(await other.receive())
        assert f"list:{created['id']}" in [
            message["channel"] for message in seen if message["type"] == "subscribed"
        ]
        lists = [message["list"]["name"] for message in seen if message.get("list")]
        assert "Garden" in lists
        assert seen[-1]["task"]["title"] == "Water the plants"
        await client.delete(f"/api/lists/{created['id']}")
        assert (await other.update("list.deleted"))["list"] is None
        await other.receive(type="unsubscribed", channel=f"list:{created['id']}")


async def test_invisible_tasks_are_not_received(running_stack: Stack, user: str) -> None:
    """Nor can they be subscribed to."""
    stranger = f"{user} stranger"
    async with (
        running_stack.client(user) as client,
        live(running_stack.ws_url(1), running_stack.token(stranger)) as other,
    ):
        task = await add(client, "private")
        for channel, code in [
            (f"task:{task['id']}", "not_found"),
            (f"list:{task['list_id']}", "not_found"),
            (f"user:{user}", "forbidden"),
        ]:
            reply = await other.request(type="subscribe", channel=channel, since={})
            assert (reply["type"], reply["code"]) == ("error", code)
        await client.patch(f"/api/tasks/{task['id']}", json={"title": "private too"})
        async with running_stack.client(stranger) as another:
            own = await add(another, "own")
        while (update := await other.update())["event"]["stream"] != f"task:{own['id']}":
            assert "private" not in str(update)


async def test_snapshot_and_stream_join_without_a_gap(running_stack: Stack, user: str) -> None:
    """Positions of a snapshot, given as `since`, bring exactly the later updates."""
    token = running_stack.token(user)
    async with running_stack.client(user, 0) as client, running_stack.client(user, 1) as reader:
        await add(client, "first")
        writing = asyncio.create_task(_write(client, 40))
        snapshot: dict[str, Any] = {}

        async def has_some() -> bool:
            snapshot.update((await reader.get("/api/tasks", params={"limit": 200})).json())
            return len(snapshot["items"]) > 3

        await eventually(has_some)
        known = {task["id"]: task for task in snapshot["items"]}
        async with live(running_stack.ws_url(1), token, snapshot["positions"]) as stream:
            await writing
            truth = {
                task["id"]: task
                for task in (await reader.get("/api/tasks", params={"limit": 200})).json()["items"]
            }
            while known != truth:
                task = (await stream.update("task."))["task"]
                assert task["version"] == known.get(task["id"], {"version": 0})["version"] + 1
                known[task["id"]] = task


async def _write(client: httpx.AsyncClient, count: int) -> None:
    for number in range(count):
        task = await add(client, f"task {number}")
        await client.patch(f"/api/tasks/{task['id']}", json={"notes": "n"})


async def test_random_disconnects_lose_and_repeat_nothing(running_stack: Stack, user: str) -> None:
    """Clients that switch between two nodes, under load, end with the same sequence, once."""
    token = running_stack.token(user)
    chance = random.Random(7)
    total = 80
    async with running_stack.client(user) as client:
        task = await add(client, "start")
        async with live(running_stack.ws_url(0), token) as start:
            place = dict(start.positions)
        writing = asyncio.create_task(_edit(client, task["id"], total))
        seen = await asyncio.gather(
            *(_come_and_go(running_stack, token, place, total, chance.random()) for _ in range(4))
        )
        await writing
    for versions in seen:
        assert versions == list(range(2, total + 2))


async def _edit(client: httpx.AsyncClient, task_id: str, count: int) -> None:
    for number in range(count):
        answer = await client.patch(f"/api/tasks/{task_id}", json={"title": f"title {number}"})
        assert answer.status_code == 200


async def _come_and_go(stack: Stack, token: str, place: dict[str, int], total: int, seed: float) -> list[int]:
    chance, versions = random.Random(seed), list[int]()
    while len(versions) < total:
        async with live(stack.ws_url(chance.randrange(2)), token, place) as client:
            # What is missed counts when it is complete.
            missed = [await client.update() for _ in range(client.hello["missed"])]
            versions += [update["task"]["version"] for update in missed if update["task"]]
            for _ in range(min(chance.randrange(12), total - len(versions))):
                versions.append((await client.update("task."))["task"]["version"])
            place = dict(client.positions)
    return versions


async def test_stopping_node_sends_goodbye(running_stack: Stack, user: str) -> None:
    """4001 with a time window for reconnecting, and nothing is missed elsewhere."""
    part = running_stack.start_api()
    url = running_stack.urls.pop().replace("http", "ws", 1) + "/ws"
    token = running_stack.token(user)
    async with running_stack.client(user) as client, live(url, token) as leaving:
        await add(client, "one")
        assert await titles(leaving, 1) == ["one"]
        stopping = asyncio.create_task(asyncio.to_thread(part.stop))
        goodbye = await leaving.receive(type="goodbye")
        assert goodbye["code"] == 4001
        assert goodbye["retry_after_ms"] == [0, 8000]
        with pytest.raises(ConnectionClosed) as closed:
            await leaving.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4001
        await stopping
        await add(client, "two")
        async with live(running_stack.ws_url(), token, leaving.positions) as back:
            assert await titles(back, 1) == ["two"]
