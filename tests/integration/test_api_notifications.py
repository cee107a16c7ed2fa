"""Notifications over HTTP and sockets, on the real parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from projections.generations.opening import open_database
from tests.integration.live_client import LiveClient, live
from tests.integration.stack import Stack
from tests.waiting import eventually


@dataclass
class Pair:
    """Alice, who owns a list, and bob, who edits it; each with a client, of different nodes."""

    stack: Stack
    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    names: tuple[str, str]
    list_id: str

    async def task(self, **fields: Any) -> str:
        """Create a task as Alice and return its path."""
        body = {"title": "Buy milk", "list_id": self.list_id, **fields}
        return str((await ok(self.alice.post("/api/tasks", json=body))).headers["location"])

    async def assigned(self, **fields: Any) -> str:
        """Assign a new task to Bob as Alice and return its path."""
        return await self.task(assignees=[self.names[1]], **fields)

    async def notifications(self, **params: Any) -> list[dict[str, Any]]:
        """Return Bob's notifications."""
        items: list[dict[str, Any]] = (await self.page(**params))["items"]
        return items

    async def page(self, **params: Any) -> dict[str, Any]:
        """Return a page of Bob's notifications."""
        page: dict[str, Any] = (await ok(self.bob.get("/api/notifications", params=params))).json()
        return page

    async def unread(self) -> int:
        """Return the number of Bob's unread notifications, the same from every source."""
        page = await self.page()
        me = (await ok(self.bob.get("/api/me"))).json()
        assert me["unread"] == page["unread"] == len(await self.notifications(unread=True))
        return int(page["unread"])

    async def events(self) -> int:
        """Return the number of events of Bob's own stream."""
        schema = self.stack.environment["TASKTAPE_SCHEMA"]
        database = await open_database(self.stack.database_url, schema, pool_size=1)
        try:
            query = "SELECT count(*) FROM audit WHERE stream = $1"
            return int(await database.pool.fetchval(query, f"user:{self.names[1]}"))
        finally:
            await database.close()

    @asynccontextmanager
    async def socket(self, node: int = 0) -> AsyncIterator[LiveClient]:
        """Return a socket of Bob's."""
        async with live(self.stack.ws_url(node), self.stack.token(self.names[1])) as socket:
            yield socket


async def ok(answer: Any) -> httpx.Response:
    """Return the response, which must be a success."""
    found: httpx.Response = await answer
    assert found.is_success, found.text
    return found


@pytest.fixture
async def pair(running_stack: Stack) -> AsyncIterator[Pair]:
    alice, bob = (f"{name} {uuid4().hex[:8]}" for name in ("alice", "bob"))
    async with AsyncExitStack() as opened:
        first = await opened.enter_async_context(running_stack.client(alice, 0))
        second = await opened.enter_async_context(running_stack.client(bob, 1))
        made = (await ok(first.post("/api/lists", json={"name": "Home"}))).json()
        pair = Pair(running_stack, first, second, (alice, bob), made["id"])
        await ok(first.put(f"/api/lists/{made['id']}/members/{quote(bob)}", json={"role": "editor"}))
        yield pair


async def test_all_kinds_are_listed_newest_first(pair: Pair) -> None:
    """With actor, type and subject, so that a line can be shown without further requests."""
    alice, bob = pair.names
    path = await pair.assigned()
    said = await ok(pair.alice.post(f"{path}/comments", json={"text": "Are you there?"}))
    await ok(pair.alice.post(f"{path}/comments", json={"text": f"@{bob} hello"}))
    at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    await ok(pair.alice.patch(path, json={"title": "Oat milk", "reminders": [{"at": at}]}))
    await eventually(lambda: _count(pair, 5))
    received = await pair.notifications()
    assert [(each["kind"], each["actor"], each["title"], each["excerpt"]) for each in received] == [
        ("reminded", "tasktape", "Oat milk", None),
        ("mentioned", alice, "Oat milk", f"@{bob} hello"),
        ("commented", alice, "Oat milk", "Are you there?"),
        ("assigned", alice, "Oat milk", None),
        ("shared", alice, "Home", None),
    ]
    task_id = path.rpartition("/")[2]
    assert [each["task_id"] for each in received] == [task_id] * 4 + [None]
    assert {each["list_id"] for each in received} == {pair.list_id}
    assert [each["read"] for each in received] == [False] * 5
    assert received[2]["position"] == said.headers["Tasktape-Position"]
    assert datetime.fromisoformat(received[0]["time"]) > datetime.fromisoformat(received[1]["time"])
    assert await pair.unread() == 5
    mine = (await ok(pair.alice.get("/api/notifications"))).json()
    assert (mine["items"], mine["unread"]) == ([], 0), "what one does oneself is no news"


async def _count(pair: Pair, number: int) -> bool:
    return len(await pair.notifications()) == number


async def test_notification_is_marked_read_or_unread(pair: Pair) -> None:
    """Each response is the notification; repeating changes nothing."""
    await pair.assigned()
    assigned, shared = await pair.notifications()
    read = await ok(pair.bob.post(f"/api/notifications/{assigned['id']}/read"))
    assert read.json() == assigned | {"read": True}
    assert await pair.notifications(unread=True) == [shared]
    assert await pair.unread() == 1
    events = await pair.events()
    assert (await ok(pair.bob.post(f"/api/notifications/{assigned['id']}/read"))).json()["read"] is True
    assert await pair.events() == events
    again = await ok(pair.bob.post(f"/api/notifications/{assigned['id']}/unread"))
    assert again.json() == assigned
    assert "Tasktape-Position" in again.headers
    assert await pair.unread() == 2
    assert await pair.events() == events + 1


async def test_all_are_marked_read(pair: Pair) -> None:
    """Up to a time, or all so far; later ones are not affected."""
    await pair.assigned()
    await pair.assigned()
    received = await pair.notifications()
    until = {"until": received[1]["time"]}
    assert (await ok(pair.bob.post("/api/notifications/read-all", json=until))).json() == {"unread": 1}
    assert await pair.notifications(unread=True) == received[:1]
    later = {"until": "2999-01-01T00:00:00Z"}
    assert (await ok(pair.bob.post("/api/notifications/read-all", json=later))).json() == {"unread": 0}
    events = await pair.events()
    assert (await ok(pair.bob.post("/api/notifications/read-all"))).json() == {"unread": 0}
    assert await pair.events() == events
    await pair.assigned()
    assert await pair.unread() == 1
    await ok(pair.bob.post(f"/api/notifications/{received[2]['id']}/unread"))
    assert [each["read"] for each in await pair.notifications()] == [False, True, True, False]
    assert (await ok(pair.bob.post("/api/notifications/read-all"))).json() == {"unread": 0}
    assert await pair.unread() == 0


async def test_new_user_has_none(pair: Pair) -> None:
    async with pair.stack.client(f"nobody-{uuid4().hex[:8]}") as nobody:
        page = (await ok(nobody.get("/api/notifications"))).json()
        assert (page["items"], page["next_cursor"], page["unread"]) == ([], None, 0)
        assert (await ok(nobody.post("/api/notifications/read-all"))).json() == {"unread": 0}


@pytest.mark.parametrize("unread", [False, True])
async def test_pages_have_each_notification_once(pair: Pair, unread: bool) -> None:  # noqa: FBT001
    """In order, also of unread ones, on both nodes."""
    for _ in range(9):
        await pair.assigned()
    whole = await pair.notifications()
    for each in whole[1::3]:
        await ok(pair.bob.post(f"/api/notifications/{each['id']}/read"))
    await ok(pair.bob.post("/api/notifications/read-all", json={"until": whole[6]["time"]}))
    await ok(pair.bob.post(f"/api/notifications/{whole[8]['id']}/unread"))
    whole = await pair.notifications(unread=unread)
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await pair.page(unread=unread, limit=2, **cursor)
        found += page["items"]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 2
        cursor = {"cursor": page["next_cursor"]}
    assert found == whole
    assert len(whole) == (5 if unread else 10)


async def test_invisible_subject_hides_its_notifications(pair: Pair) -> None:
    """Of a deleted task, of a list that the user left."""
    path = await pair.assigned()
    assigned, shared = await pair.notifications()
    await ok(pair.alice.delete(path))
    assert await pair.notifications() == [shared]
    await ok(pair.alice.post(f"{path}/restore"))
    assert await pair.unread() == 2
    await ok(pair.alice.delete(f"/api/lists/{pair.list_id}/members/{quote(pair.names[1])}"))
    assert await pair.notifications() == []
    assert await pair.unread() == 0
    answer = await pair.bob.post(f"/api/notifications/{assigned['id']}/read")
    assert answer.status_code == 404


async def test_invalid_requests_are_refused(pair: Pair) -> None:
    """Unknown ids, another user's, and unknown parameters."""
    await pair.assigned()
    [assigned, _] = await pair.notifications()
    for client, path, status in (
        (pair.bob, f"/api/notifications/{uuid4()}/read", 404),
        (pair.bob, "/api/notifications/x/unread", 404),
        (pair.alice, f"/api/notifications/{assigned['id']}/read", 404),
        (pair.bob, f"/api/notifications/{assigned['id']}/read?x=1", 400),
    ):
        assert (await client.post(path)).status_code == status
    bad = await pair.bob.post("/api/notifications/read-all", json={"until": "2026-12-01"})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "until")
    matched = {"If-Match": '"1"'}
    path = f"/api/notifications/{assigned['id']}/read"
    assert (await pair.bob.post(path, headers=matched)).status_code == 412
    assert (await pair.bob.post(path, json={"read": True})).status_code == 422
    assert (await pair.bob.get("/api/notifications?unread=maybe")).status_code == 422
    assert (await pair.bob.get("/api/notifications?kind=shared")).status_code == 400
    assert (await pair.bob.get("/api/notifications?cursor=x")).status_code == 400


async def test_asynchronous_command_is_pending(pair: Pair) -> None:
    """The outcome is at `Location`, for its author only."""
    await pair.assigned()
    [assigned, _] = await pair.notifications()
    path = f"/api/notifications/{assigned['id']}/read"
    answer = await pair.bob.post(path, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202

    async def accepted() -> bool:
        return '"accepted"' in (await pair.bob.get(answer.headers["Location"])).text

    await eventually(accepted)
    found = (await pair.bob.get(answer.headers["Location"])).json()
    assert (found["event"]["type"], found["task"], found["list"]) == ("user.notifications_read", None, None)
    assert (await pair.alice.get(answer.headers["Location"])).status_code == 404


# --- sockets ---------------------------------------------------------------------------------------------


async def test_notified_user_gets_the_update_on_their_own_channel(pair: Pair) -> None:
    """Once, though they have the list's channel too, with the reason."""
    alice, bob = pair.names
    async with pair.socket() as socket:
        path = await pair.assigned()
        update = await socket.update("task.")
        assert (update["channel"], update["notifications"]) == (f"user:{bob}", {bob: "assigned"})
        await ok(pair.alice.patch(path, json={"title": "Oat milk"}))
        update = await socket.update("task.")
        assert (update["channel"], update["task"]["title"]) == (f"list:{pair.list_id}", "Oat milk")
        assert "notifications" not in update
        async with live(pair.stack.ws_url(), pair.stack.token(alice)) as hers:
            await ok(pair.alice.post(f"{path}/comments", json={"text": f"@{bob}"}))
            assert (await socket.update("task."))["notifications"] == {bob: "mentioned"}
            assert (await hers.update("task.commented"))["channel"] == f"list:{pair.list_id}"


async def test_other_devices_get_read_notifications(pair: Pair) -> None:
    """On the user's own channel; nobody else does."""
    bob = pair.names[1]
    path = await pair.assigned()
    [assigned, _] = await pair.notifications()
    async with pair.socket(0) as one, pair.socket(1) as other:
        await ok(pair.bob.post(f"/api/notifications/{assigned['id']}/read"))
        for socket in (one, other):
            update = await socket.update("user.")
            assert (update["channel"], update["event"]["type"]) == (f"user:{bob}", "user.notifications_read")
            assert update["event"]["data"] == {"ids": [assigned["id"]]}
            assert (update["task"], update["list"]) == (None, None)
    async with live(pair.stack.ws_url(), pair.stack.token(pair.names[0])) as hers:
        await ok(pair.bob.post("/api/notifications/read-all"))
        await ok(pair.alice.patch(path, json={"title": "Oat milk"}))
        while (update := await hers.update())["event"]["type"] != "task.edited":
            assert not update["event"]["type"].startswith("user.")


async def test_removed_member_gets_no_more_notifications(pair: Pair) -> None:
    """On an open socket, also of a task still assigned to them."""
    bob = pair.names[1]
    path = await pair.assigned()
    async with pair.socket() as socket:
        await ok(pair.alice.delete(f"/api/lists/{pair.list_id}/members/{quote(bob)}"))
        await socket.update("list.member_removed")
        await socket.receive(type="unsubscribed")
        at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        await ok(pair.alice.patch(path, json={"reminders": [{"at": at}]}))
        await ok(pair.alice.post(f"{path}/comments", json={"text": f"@{bob}"}))

        async def reminded() -> bool:
            return bool((await pair.alice.get(path)).json()["reminded"])

        await eventually(reminded)
        # Whatever bob hears next is of his own.
        mine = await ok(pair.bob.post("/api/tasks", json={"title": "Mine"}))
        update = await socket.update("task.")
        assert update["position"] == mine.headers["Tasktape-Position"]
    assert await pair.notifications() == []
