"""Manual order, stages and lists: `POST /api/tasks/{id}/move`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.stack import Stack


@dataclass
class Board:
    """A list with tasks, and two clients of its owner on two nodes."""

    client: httpx.AsyncClient
    other: httpx.AsyncClient
    list_id: str

    async def add(self, title: str, **fields: Any) -> str:
        """Return the id of a new task."""
        answer = await self.client.post(
            "/api/tasks", json={"title": title, "list_id": self.list_id, **fields}
        )
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["id"]
        return found

    async def move(self, task_id: str, **where: Any) -> httpx.Response:
        return await self.client.post(f"/api/tasks/{task_id}/move", json=where)

    async def order(self, list_id: str | None = None) -> str:
        """Return the titles of a list's tasks, in order."""
        page = await self.client.get(
            "/api/tasks", params={"list_id": list_id or self.list_id, "sort": "rank", "limit": 200}
        )
        assert page.status_code == 200, page.text
        return "".join(task["title"] for task in page.json()["items"])

    async def list(self, **fields: Any) -> str:
        answer = await self.client.post("/api/lists", json={"name": "Another", **fields})
        found: str = answer.json()["id"]
        return found


@pytest.fixture
async def board(running_stack: Stack) -> AsyncIterator[Board]:
    name = f"user-{uuid4().hex[:8]}"
    async with running_stack.client(name, 0) as client, running_stack.client(name, 1) as other:
        made = await client.post("/api/lists", json={"name": "Board"})
        yield Board(client, other, made.json()["id"])


async def test_task_is_moved_before_or_after_another(board: Board) -> None:
    """Nothing else is written."""
    a, b, c, d = [await board.add(title) for title in "abcd"]
    for move, order in (
        ((d, {"before": a}), "dabc"),
        ((d, {"after": b}), "abdc"),
        ((a, {"after": c}), "bdca"),
        ((c, {"before": d, "after": b}), "bcda"),
        ((a, {"before": b}), "abcd"),
        ((b, {"after": d, "before": a}), "acdb"),
    ):
        task_id, where = move
        moved = await board.move(task_id, **where)
        assert moved.status_code == 200, moved.text
        assert moved.headers["etag"] == f'"{moved.json()["version"]}"'
        assert await board.order() == order
    history = (await board.client.get(f"/api/tasks/{c}/history")).json()["items"]
    assert [event["type"] for event in history] == ["task.created", "task.moved"]
    assert list(history[1]["changes"]) == ["rank"]


async def test_move_to_the_same_place_writes_nothing(board: Board) -> None:
    a, b, c = [await board.add(title) for title in "abc"]
    for where in ({"after": a}, {"before": c}, {"after": a, "before": c}, {"list_id": board.list_id}, {}):
        moved = await board.move(b, **where)
        assert (moved.status_code, moved.json()["version"]) == (200, 1)
    assert await board.order() == "abc"


async def test_new_task_comes_last(board: Board) -> None:
    """Also after a manual move to the end."""
    a = await board.add("a")
    b = await board.add("b")
    await board.move(a, after=b)
    await board.add("c")
    assert await board.order() == "bac"


async def test_task_is_moved_to_another_list(board: Board) -> None:
    """To its end, or the given place; the stage is the corresponding one."""
    there = await board.list(
        stages=[{"name": "Inbox", "category": "open"}, {"name": "Doing", "category": "active"}]
    )
    a, b, c = [await board.add(title) for title in "abc"]
    assert (await board.move(b, list_id=there)).json()["stage"] == "Inbox"
    assert (await board.move(a, list_id=there)).status_code == 200
    assert await board.order(there) == "ba"
    moved = (await board.move(c, list_id=there, before=a, stage="Doing")).json()
    assert (moved["stage"], moved["list_id"], await board.order(there)) == ("Doing", there, "bca")
    assert await board.order() == ""
    back = await board.move(b, list_id=board.list_id)
    assert back.json()["list_id"] == board.list_id


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ({"after": str(uuid4())}, "after"),
        ({"before": str(uuid4())}, "before"),
        ({"before": "x"}, "before"),
        ({"stage": ""}, "stage"),
        ({"rank": "m"}, "rank"),
        ({"keep_parent": True}, "keep_parent"),
        ({"cascade": True}, "cascade"),
        ({"list_id": "inbox"}, "list_id"),
    ],
)
async def test_invalid_moves_are_refused(board: Board, where: dict[str, Any], field: str) -> None:
    """422 with the field; internal fields are unknown."""
    refused = await board.move(await board.add("a"), **where)
    assert (refused.status_code, [each["field"] for each in refused.json()["errors"]]) == (422, [field])


async def test_neighbours_must_be_in_the_list(board: Board) -> None:
    """Not the task itself, not one of another list; if one of two is missing, the other one counts."""
    a, b = [await board.add(title) for title in "ab"]
    elsewhere = (await board.client.post("/api/tasks", json={"title": "e"})).json()["id"]
    for where in ({"after": a}, {"before": a}, {"after": elsewhere}):
        assert (await board.move(a, **where)).status_code == 422
    assert (await board.move(a, after=elsewhere, before=b)).status_code == 200
    await board.client.delete(f"/api/tasks/{b}")
    c = await board.add("c")
    assert (await board.move(c, before=b)).status_code == 200
    assert (await board.move(a, after=b)).status_code == 200
    assert await board.order() == "ca"
    await board.client.post(f"/api/tasks/{b}/restore")
    assert await board.order() == "cba"


async def test_invisible_list_is_not_found(board: Board, running_stack: Stack) -> None:
    """Whatever neighbours are named."""
    task = await board.add("a")
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as stranger:
        theirs = (await stranger.post("/api/lists", json={"name": "Theirs"})).json()["id"]
        their_task = (await stranger.post("/api/tasks", json={"title": "t", "list_id": theirs})).json()["id"]
        assert (await board.move(task, list_id=theirs)).status_code == 404
        assert (await board.move(task, list_id=theirs, after=their_task)).status_code == 404
        refused = await stranger.post(f"/api/tasks/{task}/move", json={"list_id": theirs})
        assert refused.status_code == 404


async def test_done_stage_completes_and_another_reopens(board: Board) -> None:
    stages = [{"name": "To do", "category": "open"}, {"name": "Done", "category": "done"}]
    await board.client.patch(f"/api/lists/{board.list_id}", json={"stages": stages})
    a, b = [await board.add(title) for title in "ab"]
    done = (await board.move(a, stage="Done", after=b)).json()
    assert (done["status"], done["stage"]) == ("done", "Done")
    assert done["completed_at"] is not None
    opened = (await board.move(a, stage="To do", before=b)).json()
    assert (opened["status"], opened["completed_at"]) == ("open", None)
    assert (await board.move(a, stage="Nope")).status_code == 422


async def test_concurrent_moves_all_count(board: Board) -> None:
    """Two users sort at the same time on two nodes; no other task is written."""
    ids = [await board.add(title) for title in "abcdefgh"]
    draw = random.Random(5)

    async def shuffle(client: httpx.AsyncClient, movable: list[str]) -> None:
        for _ in range(15):
            task_id, beside = draw.choice(movable), draw.choice(ids)
            if task_id != beside:
                where = {draw.choice(["before", "after"]): beside}
                answer = await client.post(f"/api/tasks/{task_id}/move", json=where)
                assert answer.status_code == 200, answer.text

    await asyncio.gather(shuffle(board.client, ids[:2]), shuffle(board.other, ids[2:4]))
    items = (await board.client.get("/api/tasks", params={"list_id": board.list_id})).json()["items"]
    assert sorted(task["title"] for task in items) == list("abcdefgh")
    assert len({task["rank"] for task in items}) == 8
    assert [task["version"] for task in items if task["id"] in ids[4:]] == [1, 1, 1, 1]
