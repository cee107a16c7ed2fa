"""Sub-tasks over HTTP: created, found, completed, deleted and moved with their parents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.live_client import live
from tests.integration.stack import Stack


@dataclass
class Tree:
    """Tasks by name, in a list of one's own."""

    client: httpx.AsyncClient
    other_node: httpx.AsyncClient
    user: str
    list_id: str
    paths: dict[str, str] = field(default_factory=dict)

    async def add(self, name: str, parent: str | None = None, **fields: Any) -> dict[str, Any]:
        body = {"title": name, **fields}
        if parent is None:
            body["list_id"] = self.list_id
        else:
            body["parent_id"] = self.id(parent)
        answer = await self.client.post("/api/tasks", json=body)
        assert answer.status_code == 201, answer.text
        self.paths[name] = answer.headers["location"]
        task: dict[str, Any] = answer.json()
        return task

    def id(self, name: str) -> str:
        return self.paths[name].rpartition("/")[2]

    async def post(self, name: str, verb: str, **params: Any) -> httpx.Response:
        return await self.client.post(f"{self.paths[name]}/{verb}", params=params)

    async def each(self, key: str) -> dict[str, Any]:
        """Return a field of each existing task."""
        answers = {name: await self.client.get(path) for name, path in self.paths.items()}
        return {name: each.json()[key] for name, each in answers.items() if each.status_code == 200}


@pytest.fixture
async def tree(running_stack: Stack) -> AsyncIterator[Tree]:
    user = f"user-{uuid4().hex[:8]}"
    async with running_stack.client(user, 0) as client, running_stack.client(user, 1) as other:
        made = await client.post("/api/lists", json={"name": "L"})
        found = Tree(client, other, user, made.json()["id"])
        await found.add("top")
        await found.add("child", "top")
        await found.add("grandchild", "child")
        await found.add("sibling", "top")
        yield found


async def test_sub_tasks_are_in_the_list_of_their_parent(tree: Tree) -> None:
    """Explicitly or by default, and they are found by their parent."""
    child = await tree.add("named", "top", list_id=tree.list_id)
    assert (child["list_id"], child["parent_id"]) == (tree.list_id, tree.id("top"))
    assert (await tree.client.get(tree.paths["grandchild"])).json()["list_id"] == tree.list_id
    found = await tree.client.get("/api/tasks", params={"parent_id": tree.id("top")})
    assert [task["title"] for task in found.json()["items"]] == ["child", "sibling", "named"]


@pytest.mark.parametrize("case", ["nobody's", "another list", "deleted", "stranger's", "itself", "below"])
async def test_invalid_parents_are_refused(tree: Tree, running_stack: Stack, case: str) -> None:
    """422 with the field; invisible ones are as missing ones."""
    parent_id = str(uuid4())
    if case == "another list":
        parent_id = (await tree.client.post("/api/tasks", json={"title": "i"})).json()["id"]
    if case == "deleted":
        await tree.client.delete(tree.paths["sibling"])
        parent_id = tree.id("sibling")
    if case == "stranger's":
        async with running_stack.client(f"eve-{uuid4().hex[:8]}") as eve:
            parent_id = (await eve.post("/api/tasks", json={"title": "e"})).json()["id"]
    if case in ("itself", "below"):
        parent_id = tree.id("top" if case == "itself" else "grandchild")
    edited = await tree.client.patch(tree.paths["top"], json={"parent_id": parent_id})
    answers = [edited]
    if case not in ("itself", "below"):
        given = {} if case != "another list" else {"list_id": tree.list_id}
        body = {"title": "x", "parent_id": parent_id, **given}
        answers.append(await tree.client.post("/api/tasks", json=body))
    for answer in answers:
        assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (
            422,
            ["parent_id"],
        )


async def test_depth_is_bounded(tree: Tree) -> None:
    """With the levels above, and those of a moved subtree."""
    await tree.add("fourth", "grandchild")
    await tree.add("fifth", "fourth")
    refused = await tree.client.post("/api/tasks", json={"title": "x", "parent_id": tree.id("fifth")})
    assert refused.status_code == 422
    await tree.add("root")
    for name, status in (("top", 422), ("child", 200)):
        answer = await tree.client.patch(tree.paths[name], json={"parent_id": tree.id("root")})
        assert (name, answer.status_code) == (name, status)
    freed = await tree.client.patch(tree.paths["child"], json={"parent_id": None})
    assert freed.json()["parent_id"] is None


async def test_completing_with_open_sub_tasks_requires_cascade(tree: Tree) -> None:
    """409 while some are open, on any level; with `cascade` they are completed, deepest first."""
    refused = await tree.post("top", "complete")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "3 open sub-tasks" in refused.json()["detail"]
    assert set((await tree.each("status")).values()) == {"open"}
    done = await tree.client.post(
        f"{tree.paths['top']}/complete", params={"cascade": True}, headers={"X-Correlation-ID": "all"}
    )
    assert (done.status_code, done.json()["status"], done.headers["etag"]) == (200, "done", '"2"')
    position = {"Tasktape-Position": done.headers["tasktape-position"]}
    page = await tree.other_node.get("/api/tasks", params={"list_id": tree.list_id}, headers=position)
    assert {task["status"] for task in page.json()["items"]} == {"done"}
    events = {}
    for name, path in tree.paths.items():
        history = (await tree.client.get(f"{path}/history")).json()["items"]
        assert [event["type"] for event in history] == ["task.created", "task.completed"]
        events[name] = history[1]
    assert {event["correlation_id"] for event in events.values()} == {"all"}
    assert {name: event["causation_id"] for name, event in events.items()} == {
        "top": None,
        **dict.fromkeys(("child", "grandchild", "sibling"), events["top"]["id"]),
    }
    times = {name: event["recorded_at"] for name, event in events.items()}
    assert times["grandchild"] <= times["child"] <= times["top"]


async def test_deleting_and_restoring_with_sub_tasks(tree: Tree) -> None:
    """Those deleted with a task are restored with it on request."""
    await tree.client.delete(tree.paths["sibling"])
    assert (await tree.client.delete(tree.paths["top"])).status_code == 409
    gone = await tree.client.delete(tree.paths["top"], params={"cascade": True})
    assert (gone.status_code, gone.content) == (204, b"")
    assert await tree.each("title") == {}
    alone = await tree.post("top", "restore")
    assert (alone.status_code, list(await tree.each("title"))) == (200, ["top"])
    await tree.client.delete(tree.paths["top"])
    await tree.post("child", "restore")
    await tree.client.delete(tree.paths["child"], params={"cascade": True})
    assert (await tree.post("child", "restore", cascade=True)).status_code == 200
    assert list(await tree.each("title")) == ["child"]


async def test_restoring_every_level_in_one_command(tree: Tree) -> None:
    await tree.client.delete(tree.paths["sibling"])
    await tree.client.delete(tree.paths["top"], params={"cascade": True})
    assert (await tree.post("top", "restore", cascade=True)).status_code == 200
    assert list(await tree.each("title")) == ["top", "child", "grandchild"]


async def test_cascade_is_undone_by_one_command(tree: Tree) -> None:
    await tree.post("top", "complete", cascade=True)
    undone = await tree.post("top", "undo")
    assert (undone.status_code, undone.json()["status"]) == (200, "open")
    assert set((await tree.each("status")).values()) == {"open"}
    await tree.client.delete(tree.paths["top"], params={"cascade": True})
    assert (await tree.post("top", "undo")).status_code == 200
    assert len(await tree.each("title")) == 4


async def test_sub_tasks_move_to_another_list(tree: Tree, running_stack: Stack) -> None:
    """With their stages and their order; subscribers of both lists get every update."""
    there = (await tree.client.post("/api/lists", json={"name": "There"})).json()["id"]
    async with live(running_stack.ws_url(1), running_stack.token(tree.user)) as socket:
        moved = await tree.client.post(f"{tree.paths['top']}/move", json={"list_id": there})
        assert (moved.status_code, moved.json()["list_id"]) == (200, there)
        assert set((await tree.each("list_id")).values()) == {there}
        assert (await tree.each("parent_id")) == {
            "top": None,
            "child": tree.id("top"),
            "grandchild": tree.id("child"),
            "sibling": tree.id("top"),
        }
        received = [await socket.update("task.moved") for _ in range(4)]
        assert {update["task"]["title"] for update in received} == set(tree.paths)
    undone = await tree.post("top", "undo")
    assert undone.status_code == 200
    assert set((await tree.each("list_id")).values()) == {tree.list_id}
    alone = await tree.client.post(f"{tree.paths['child']}/move", json={"list_id": there})
    assert alone.json()["parent_id"] is None
    assert (await tree.each("list_id"))["grandchild"] == there


async def test_key_applies_to_the_whole_cascade(tree: Tree) -> None:
    """Repeats on two nodes at once are one command; the same key without `cascade` is another."""
    headers, path = {"Idempotency-Key": uuid4().hex}, f"{tree.paths['top']}/complete"
    answers = await asyncio.gather(
        *(
            (tree.client, tree.other_node)[number % 2].post(path, params={"cascade": True}, headers=headers)
            for number in range(6)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert set((await tree.each("version")).values()) == {2}
    other = await tree.client.post(path, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_invalid_parameters_are_refused(tree: Tree) -> None:
    """Unknown ones, and invalid booleans."""
    client, path = tree.client, tree.paths["top"]
    assert (await tree.post("top", "complete", cascade="maybe")).status_code == 422
    assert (await tree.post("top", "complete", deep=True)).status_code == 400
    assert (await tree.post("top", "reopen", cascade=True)).status_code == 400
    assert (await client.post(f"{path}/complete", json={"cascade": True})).status_code == 422
    assert (await client.patch(path, json={"scope": "this"})).status_code == 422
    assert (await client.patch(path, json={}, params={"scope": "everything"})).status_code == 422
