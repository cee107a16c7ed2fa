"""Comments over HTTP, with mentions, and on sockets."""

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
class Talk:
    """A task in a list of two users."""

    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    names: tuple[str, str]
    list_path: str
    path: str

    async def comment(
        self, text: str, who: httpx.AsyncClient | None = None, **headers: str
    ) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await (who or self.alice).post(f"{self.path}/comments", json={"text": text}, headers=given)

    async def comments(self, **params: Any) -> list[dict[str, Any]]:
        """Return the comments, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.bob.get(
                f"{self.path}/comments", params={**params, **({"cursor": cursor} if cursor else {})}
            )
            assert page.status_code == 200, page.text
            found += page.json()["items"]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                return found


@pytest.fixture
async def talk(running_stack: Stack) -> AsyncIterator[Talk]:
    alice, bob = (f"{name}-{uuid4().hex[:8]}" for name in ("alice", "bob"))
    async with running_stack.client(alice, 0) as first, running_stack.client(bob, 1) as second:
        list_path = (await first.post("/api/lists", json={"name": "L"})).headers["location"]
        await first.put(f"{list_path}/members/{bob}", json={"role": "editor"})
        made = await first.post("/api/tasks", json={"title": "T", "list_id": list_path.rpartition("/")[2]})
        yield Talk(first, second, (alice, bob), list_path, made.headers["location"])


async def test_life_of_a_comment(talk: Talk) -> None:
    """Added, read, edited, deleted; the responses are the task, which counts its comments."""
    alice, bob = talk.names
    said = await talk.comment(f" @{bob} and @nobody, look ")
    assert said.status_code == 201, said.text
    task = said.json()
    assert (task["title"], task["comment_count"], task["version"]) == ("T", 1, 2)
    assert said.headers["etag"] == '"2"'
    where = said.headers["location"]
    assert where.startswith(f"{talk.path}/comments/")
    position = {"Tasktape-Position": said.headers["tasktape-position"]}
    comment = (await talk.bob.get(where, headers=position)).json()
    assert comment == {
        "id": where.rpartition("/")[2],
        "task_id": task["id"],
        "author": alice,
        "text": f"@{bob} and @nobody, look",
        "mentions": [bob],
        "created_at": task["updated_at"],
        "edited_at": None,
    }
    edited = await talk.alice.patch(where, json={"text": "Look"})
    assert (edited.status_code, edited.json()["version"]) == (200, 3)
    comment = (await talk.alice.get(where)).json()
    assert (comment["text"], comment["mentions"]) == ("Look", [])
    assert comment["edited_at"] == edited.json()["updated_at"]
    gone = await talk.alice.delete(where)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await talk.alice.get(where)).status_code == 404
    assert (await talk.alice.patch(where, json={"text": "x"})).status_code == 404
    assert (await talk.alice.get(talk.path)).json()["comment_count"] == 0
    history = (await talk.alice.get(f"{talk.path}/history")).json()["items"]
    assert [event["type"] for event in history[1:]] == [
        *("task.commented", "task.comment_edited", "task.comment_deleted")
    ]
    assert history[1]["changes"]["comment_count"] == [0, 1]


async def test_comments_are_paged(talk: Talk) -> None:
    """Oldest first, without deleted ones; a cursor is valid for its own task only."""
    places = [(await talk.comment(f"c{number}")).headers["location"] for number in range(7)]
    await talk.alice.delete(places[3])
    assert [comment["text"] for comment in await talk.comments(limit=2)] == [
        "c0",
        "c1",
        "c2",
        "c4",
        "c5",
        "c6",
    ]
    page = (await talk.bob.get(f"{talk.path}/comments", params={"limit": 2})).json()
    assert page["positions"]
    another = (await talk.alice.post("/api/tasks", json={"title": "U"})).headers["location"]
    mixed = await talk.alice.get(f"{another}/comments", params={"cursor": page["next_cursor"]})
    assert mixed.status_code == 400
    assert (await talk.alice.get(f"{talk.path}/comments", params={"limit": 0})).status_code == 422
    assert (await talk.alice.get(f"{talk.path}/comments", params={"page": 2})).status_code == 400


async def test_permissions_on_comments(talk: Talk, running_stack: Stack) -> None:
    """Others may not edit them; owners of the list may delete them; strangers see nothing."""
    of_bob = (await talk.comment("bob's", talk.bob)).headers["location"]
    of_alice = (await talk.comment("alice's")).headers["location"]
    assert (await talk.alice.patch(of_bob, json={"text": "x"})).status_code == 403
    assert (await talk.bob.delete(of_alice)).status_code == 403
    assert (await talk.alice.delete(of_bob)).status_code == 204
    async with running_stack.client(f"eve-{uuid4().hex[:8]}") as eve:
        for method, path, body in (
            ("GET", f"{talk.path}/comments", None),
            ("POST", f"{talk.path}/comments", {"text": "x"}),
            ("GET", of_alice, None),
            ("PATCH", of_alice, {"text": "x"}),
            ("DELETE", of_alice, None),
        ):
            answer = await eve.request(method, path, json=body)
            assert (method, answer.status_code) == (method, 404)
    await talk.alice.put(f"{talk.list_path}/members/{talk.names[1]}", json={"role": "viewer"})
    assert (await talk.comment("x", talk.bob)).status_code == 403
    assert len(await talk.comments()) == 1


@pytest.mark.parametrize("text", ["", "   ", "x" * 10_001, None, 7, "a\x00b"])
async def test_invalid_comments_are_refused(talk: Talk, text: Any) -> None:
    """422, with the field."""
    answer = await talk.alice.post(f"{talk.path}/comments", json={"text": text})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "text")


async def test_missing_comments_are_not_found(talk: Talk) -> None:
    """Of another task, with an invalid id, of a deleted task."""
    where = (await talk.comment("x")).headers["location"]
    another = (await talk.alice.post("/api/tasks", json={"title": "U"})).headers["location"]
    for path in (f"{another}/comments/{where.rpartition('/')[2]}", f"{talk.path}/comments/x"):
        assert (await talk.alice.get(path)).status_code == 404
        assert (await talk.alice.patch(path, json={"text": "y"})).status_code == 404
        assert (await talk.alice.delete(path)).status_code == 404
    await talk.alice.delete(talk.path)
    assert (await talk.alice.get(f"{talk.path}/comments")).status_code == 404
    assert (await talk.alice.get(where)).status_code == 404
    assert (await talk.comment("y")).status_code == 404
    await talk.alice.post(f"{talk.path}/restore")
    assert [comment["text"] for comment in await talk.comments()] == ["x"]


async def test_repeated_key_makes_one_comment(talk: Talk) -> None:
    """The repeat returns the same one."""
    key = uuid4().hex
    answers = [await talk.comment("once", Idempotency_Key=key) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(await talk.comments()) == 1
    assert (await talk.comment("twice", Idempotency_Key=key)).status_code == 422


async def test_comments_are_sent_live(talk: Talk, running_stack: Stack) -> None:
    """Subscribers of the list get them with their mentions; mentioned users get them on their own channel."""
    alice, bob = talk.names
    async with live(running_stack.ws_url(1), running_stack.token(bob)) as socket:
        await talk.comment(f"@{bob} see")
        update = await socket.update("task.commented")
        assert update["channel"] == f"user:{bob}"
        assert update["event"]["data"]["text"] == f"@{bob} see"
        assert update["event"]["data"]["mentions"] == [bob]
        assert update["notifications"] == {bob: "mentioned"}
        assert update["task"]["comment_count"] == 1
        await talk.comment("And this", talk.bob)
        update = await socket.update("task.commented")
        assert (update["channel"], update["notifications"]) == (
            f"list:{talk.list_path.rpartition('/')[2]}",
            {alice: "commented"},
        )


async def test_edited_mentions_notify_only_new_users(talk: Talk) -> None:
    """The comment shows all mentioned users."""
    alice, bob = talk.names
    carol = f"carol-{uuid4().hex[:8]}"
    await talk.alice.put(f"{talk.list_path}/members/{carol}", json={"role": "viewer"})
    where = (await talk.comment(f"@{bob}")).headers["location"]
    await talk.alice.patch(where, json={"text": f"@{carol} @{bob} @{alice}"})
    history = (await talk.alice.get(f"{talk.path}/history")).json()["items"]
    assert history[-1]["data"]["mentions"] == [carol]
    comment = (await talk.bob.get(where)).json()
    assert comment["mentions"] == [carol, bob]
