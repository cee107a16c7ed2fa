"""Presence over HTTP: what is answered, and to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.edge import Edge
from api.main import application
from app.settings import Settings
from tasktape.local.tokens import mint
from tests.api.memory_stack import World, edge_on

SECRET = "a secret of the tests that is long enough"
ID = "0190f3c0-0000-7000-8000-000000000000"
TASK, LIST = f"task:{ID}", f"list:{ID}"


class Seen:
    """A pool in place of the database's: alice may see everything, and others nothing."""

    async def fetchval(self, _sql: str, _key: str, user: str) -> bool:
        """Whether a user may see something."""
        return user == "alice"


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with World().running() as world:
        yield edge_on(world, world.node(), Settings(jwt_secret=SECRET), Seen())


async def get(edge: Edge, path: str, user: str = "alice", *, admin: bool = False) -> tuple[int, Any]:
    """The status and the body of an answer."""
    app = application(edge.settings)
    app.state.edge = edge
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {mint(SECRET, user, admin=admin, ttl_s=60)}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
        answer = await client.get(path)
        return answer.status_code, answer.json()


async def test_who_is_on_a_channel(edge: Edge) -> None:
    for session, user in (("s1", "alice"), ("s2", "bob"), ("s3", "bob")):
        edge.presence.enter(session, user)
        edge.presence.subscribe(session, TASK)
    edge.presence.signal("s2", TASK, "viewing", {}, 0)
    edge.presence.signal("s1", TASK, "typing", {}, 0)
    status, body = await get(edge, f"/api/presence?channel={TASK}")
    assert status == 200
    assert body == {
        "channel": TASK,
        "present": [
            {"user": "alice", "connections": 1, "viewing": False, "typing": True},
            {"user": "bob", "connections": 2, "viewing": True, "typing": False},
        ],
        "total": 2,
    }
    nobody = {"channel": LIST, "present": [], "total": 0}
    assert await get(edge, f"/api/presence?channel={LIST}") == (200, nobody)


@pytest.mark.parametrize("channel", [TASK, LIST])
async def test_what_one_may_not_see_is_not_there(edge: Edge, channel: str) -> None:
    assert (await get(edge, f"/api/presence?channel={channel}", "bob"))[0] == 404


@pytest.mark.parametrize(
    "query",
    ["", "?channel=", "?channel=task:1", "?channel=user:alice", f"?channel={ID}", f"?channel={'x' * 257}"],
)
async def test_what_is_no_channel_is_invalid(edge: Edge, query: str) -> None:
    status, body = await get(edge, f"/api/presence{query}")
    assert (status, body["errors"][0]["field"]) == (422, "channel")


async def test_connections_are_for_administrators(edge: Edge) -> None:
    assert (await get(edge, "/api/connections"))[0] == 403
    for number, user in enumerate(["carol", "alice", "bob", "alice"]):
        edge.presence.enter(f"s{number}", user)
    first = (await get(edge, "/api/connections?limit=2", admin=True))[1]
    assert first["items"] == [
        {"user": "alice", "connections": 2, "nodes": 1},
        {"user": "bob", "connections": 1, "nodes": 1},
    ]
    assert (first["total_users"], first["total_connections"]) == (3, 4)
    path = f"/api/connections?limit=2&cursor={first['next_cursor']}"
    second = (await get(edge, path, admin=True))[1]
    assert [each["user"] for each in second["items"]] == ["carol"]
    assert second["next_cursor"] is None


async def test_the_connections_of_one_user(edge: Edge) -> None:
    edge.presence.enter("s1", "alice")
    edge.presence.enter("s2", "bob")
    one = (await get(edge, "/api/connections?user=bob", admin=True))[1]
    assert one == {
        "items": [{"user": "bob", "connections": 1, "nodes": 1}],
        "next_cursor": None,
        "total_users": 1,
        "total_connections": 1,
    }
    none = (await get(edge, "/api/connections?user=dave", admin=True))[1]
    assert (none["items"], none["total_connections"]) == ([], 0)
