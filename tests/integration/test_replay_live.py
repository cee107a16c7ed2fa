"""Replays over sockets through the real parts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import httpx
import ormsgpack
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.integration.live_client import LIMIT_S
from tests.integration.replay_client import ReplayClient, replaying
from tests.integration.stack import Stack

FULL_SPEED = {"speed": 1e9, "max_gap_ms": 0}
YEAR_2013 = datetime(2013, 1, 1, tzinfo=UTC)


@pytest.fixture
def user() -> str:
    """Return a user that no other test uses."""
    return f"user-{uuid4().hex[:8]}"


async def imported(client: httpx.AsyncClient, tasks: int = 3) -> str:
    """Import tasks, each with a creation, an edit and a completion, a minute apart; return the list."""
    histories = []
    for number in range(tasks):
        first = YEAR_2013 + timedelta(seconds=number)
        events: list[dict[str, Any]] = [
            {"type": "task.created", "data": {"title": f"task {number}"}},
            {"type": "task.edited", "data": {"title": f"edited {number}"}},
            {"type": "task.completed"},
        ]
        for place, event in enumerate(events):
            event |= {"time": (first + place * timedelta(minutes=1)).isoformat(), "actor": "bob"}
        histories.append({"key": f"{number}", "events": events})
    answer = await client.post("/api/import", json={"list": {"name": "Incidents"}, "tasks": histories})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    wanted = ",".join(f"{partition}:{offset}" for partition, offset in found["positions"].items())
    read = await client.get(f"/api/lists/{found['list_id']}", headers={"Tasktape-Position": wanted})
    assert read.status_code == 200, read.text
    list_id: str = found["list_id"]
    return list_id


def times(replay: ReplayClient) -> list[str]:
    """Return the times of the updates."""
    return [update["at"] for update in replay.updates]


async def test_replay_sends_the_events_by_time_and_ends(running_stack: Stack, user: str) -> None:
    """Also the list's own events, of an import that was recorded task by task."""
    async with running_stack.client(user) as client:
        list_id = await imported(client)
        async with replaying(running_stack.ws_url(1), running_stack.token(user), list_id) as replay:
            reply = await replay.subscribe(**FULL_SPEED)
            assert (reply["type"], reply["missed"]) == ("subscribed", 0)
            assert (await replay.until("snapshot"))["tasks"] == []
            assert (await replay.until("playing"))["speed"] == 1e9
            ended = await replay.until("ended")
            now = (await client.get("/api/tasks", params={"list_id": list_id})).json()["items"]
        assert times(replay) == sorted(times(replay))
        assert [update["event"]["type"] for update in replay.updates] == [
            *["task.created"] * 3,
            *["task.edited"] * 3,
            *["task.completed"] * 3,
            "list.created",
        ]
        assert ended["at"] == times(replay)[-1]
        assert list(replay.board.values()) == sorted(now, key=lambda task: task["created_at"])


async def test_controls_move_the_board_either_way(running_stack: Stack, user: str) -> None:
    """Pause, steps, seeks and another speed, in the middle of a replay."""
    async with running_stack.client(user) as client:
        list_id = await imported(client)
        async with replaying(running_stack.ws_url(), running_stack.token(user), list_id) as replay:
            first = "2013-01-01T00:00:01Z"
            await replay.subscribe(**{"from": first, "speed": 0.001, "max_gap_ms": 3_600_000})
            assert [task["title"] for task in (await replay.until("snapshot"))["tasks"]] == [
                "task 0",
                "task 1",
            ]
            assert (await replay.control("pause"))["state"] == "paused"
            assert (await replay.control("step"))["at"] == "2013-01-01T00:00:02.000000Z"
            assert sorted(task["title"] for task in replay.board.values()) == ["task 0", "task 1", "task 2"]
            await replay.control("seek", at="2013-01-01T00:01:00.5Z")
            assert {task["title"] for task in replay.board.values()} == {"edited 0", "task 1", "task 2"}
            await replay.control("seek", at="2010-01-01T00:00:00Z")
            assert sorted(task["title"] for task in replay.board.values()) == ["task 0", "task 1"]
            assert (await replay.control("speed", speed=1e9))["state"] == "paused"
            assert (await replay.control("resume"))["state"] in {"playing", "ended"}
            assert (await replay.until("ended"))["state"] == "ended"
            assert {task["status"] for task in replay.board.values()} == {"done"}
            assert len(replay.updates) == 1 + 8


async def test_removed_member_and_deleted_list_end_replays(running_stack: Stack, user: str) -> None:
    """On another node than the command's; those who stay play on."""
    guest = f"guest-{user}"
    async with running_stack.client(user) as client:
        list_id = await imported(client)
        answer = await client.put(f"/api/lists/{list_id}/members/{guest}", json={"role": "viewer"})
        assert answer.is_success, answer.text
        position = answer.headers["Tasktape-Position"]
        read = await client.get(f"/api/lists/{list_id}", headers={"Tasktape-Position": position})
        assert read.status_code == 200
        async with (
            replaying(running_stack.ws_url(1), running_stack.token(guest), list_id) as left,
            replaying(running_stack.ws_url(1), running_stack.token(user), list_id) as right,
        ):
            for each in (left, right):
                assert (await each.subscribe(speed=0.001, max_gap_ms=3_600_000))["type"] == "subscribed"
                await each.until("playing")
            assert (await client.delete(f"/api/lists/{list_id}/members/{guest}")).is_success
            assert (await left.until("ended"))["reason"] == "you are no longer a member of the list"
            assert (await left.subscribe())["code"] == "not_found"
            assert (await right.control("pause"))["state"] == "paused"
            assert (await client.delete(f"/api/lists/{list_id}")).is_success
            assert (await right.until("ended"))["reason"] == "the list was deleted"


async def test_moved_tasks_arrive_and_leave(running_stack: Stack, user: str) -> None:
    """A list's past has what happened to a task while it was there, and that it left."""
    async with running_stack.client(user) as client:
        lists = [(await client.post("/api/lists", json={"name": name})).json()["id"] for name in ("A", "B")]
        task = (await client.post("/api/tasks", json={"title": "one", "list_id": lists[0]})).json()
        await client.patch(f"/api/tasks/{task['id']}", json={"title": "two"})
        await client.post(f"/api/tasks/{task['id']}/move", json={"list_id": lists[1]})
        await client.patch(f"/api/tasks/{task['id']}", json={"title": "three"})
        types = {
            lists[0]: ["list.created", "task.created", "task.edited", "task.moved"],
            lists[1]: ["list.created", "task.moved", "task.edited"],
        }
        for list_id, expected in types.items():
            async with replaying(running_stack.ws_url(), running_stack.token(user), list_id) as replay:
                await replay.subscribe(**FULL_SPEED)
                await replay.until("ended")
                assert [update["event"]["type"] for update in replay.updates] == expected
                assert len(replay.board) == (0 if list_id == lists[0] else 1)


async def test_replays_come_packed_and_in_batches(running_stack: Stack, user: str) -> None:
    """As a client asks for it: the same messages."""
    async with running_stack.client(user) as client:
        list_id = await imported(client, 50)
    url, token = running_stack.ws_url(), running_stack.token(user)
    async with replaying(url, token, list_id) as plain:
        await plain.subscribe(**FULL_SPEED)
        await plain.until("ended")
    async with connect(url, subprotocols=[Subprotocol("tasktape.v1.msgpack")]) as socket:
        hello = {"id": 1, "type": "authenticate", "token": token, "features": ["batch"]}
        await socket.send(ormsgpack.packb(hello))
        channel = f"replay:{list_id}"
        await socket.send(
            ormsgpack.packb({"id": 2, "type": "subscribe", "channel": channel, "replay": FULL_SPEED})
        )
        frames: list[Any] = []
        messages: list[Any] = []
        async with asyncio.timeout(LIMIT_S):
            while not messages or messages[-1].get("state") != "ended":
                frame = ormsgpack.unpackb(cast("bytes", await socket.recv()))
                frames.append(frame)
                messages += frame if isinstance(frame, list) else [frame]
    assert [each for each in messages if each["type"] == "update"] == plain.updates
    assert len(frames) < len(messages) / 2


async def test_many_tasks_are_snapshot_in_parts(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client:
        list_id = await imported(client, 400)
    async with replaying(running_stack.ws_url(), running_stack.token(user), list_id) as replay:
        await replay.subscribe(**{"from": "2013-01-02T00:00:00Z", "to": "2013-01-02T00:00:00Z"})
        assert (await replay.until("snapshot"))["more"]
        await replay.until("ended")
        assert len(replay.board) == 400
        assert not replay.updates
