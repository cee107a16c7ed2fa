"""Presence over HTTP: responses and permissions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.http.dependencies import Dependencies
from api.main import application
from api.presence.state import Presence
from app.channels import list_channel, task_channel
from app.settings import Settings
from tasktape.local.tokens import mint
from tests.api.memory_stack import World, dependencies_on

SECRET = "a secret of the tests that is long enough"
ID = "0190f3c0-0000-7000-8000-000000000000"
TASK, LIST = task_channel(ID), list_channel(ID)


class Seen:
    """A pool in place of the database's: alice may see everything, others nothing."""

    async def fetchval(self, _sql: str, _key: str, user: str) -> bool:
        """Return whether a user may see a channel."""
        return user == "alice"


@pytest.fixture
def presence() -> Presence:
    return Presence("node", 1)


@pytest.fixture
async def deps(presence: Presence) -> AsyncIterator[Dependencies]:
    async with World().running() as world:
        edge = dependencies_on(world, world.node(), Settings(jwt_secret=SECRET), Seen())
        yield replace(edge, presence=presence.users)


async def get(deps: Dependencies, path: str, user: str = "alice", *, admin: bool = False) -> tuple[int, Any]:
    """Return status and body of a response."""
    app = application(deps.settings)
    app.state.deps = deps
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {mint(SECRET, user, admin=admin, ttl_s=60)}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
        answer = await client.get(path)
        return answer.status_code, answer.json()


async def test_users_of_a_channel_are_listed(deps: Dependencies, presence: Presence) -> None:
    for session, user in (("s1", "alice"), ("s2", "bob"), ("s3", "bob")):
        presence.enter(session, user)
        presence.subscribe(session, TASK)
    presence.signal("s2", TASK, "viewing", {}, 0)
    presence.signal("s1", TASK, "typing", {}, 0)
    status, body = await get(deps, f"/api/presence?channel={TASK}")
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
    assert await get(deps, f"/api/presence?channel={LIST}") == (200, nobody)


@pytest.mark.parametrize("channel", [TASK, LIST])
async def test_invisible_channel_is_not_found(deps: Dependencies, channel: str) -> None:
    assert (await get(deps, f"/api/presence?channel={channel}", "bob"))[0] == 404


@pytest.mark.parametrize(
    "query",
    ["", "?channel=", "?channel=task:1", "?channel=user:alice", f"?channel={ID}", f"?channel={'x' * 257}"],
)
async def test_invalid_channel_is_refused(deps: Dependencies, query: str) -> None:
    status, body = await get(deps, f"/api/presence{query}")
    assert (status, body["errors"][0]["field"]) == (422, "channel")


async def test_connections_are_for_administrators(deps: Dependencies, presence: Presence) -> None:
    assert (await get(deps, "/api/connections"))[0] == 403
    for number, user in enumerate(["carol", "alice", "bob", "alice"]):
        presence.enter(f"s{number}", user)
    first = (await get(deps, "/api/connections?limit=2", admin=True))[1]
    assert first["items"] == [
        {"user": "alice", "connections": 2, "nodes": 1},
        {"user": "bob", "connections": 1, "nodes": 1},
    ]
    assert (first["total_users"], first["total_connections"]) == (3, 4)
    path = f"/api/connections?limit=2&cursor={first['next_cursor']}"
    second = (await get(deps, path, admin=True))[1]
    assert [each["user"] for each in second["items"]] == ["carol"]
    assert second["next_cursor"] is None


async def test_connections_of_one_user_are_listed(deps: Dependencies, presence: Presence) -> None:
    presence.enter("s1", "alice")
    presence.enter("s2", "bob")
    one = (await get(deps, "/api/connections?user=bob", admin=True))[1]
    assert one == {
        "items": [{"user": "bob", "connections": 1, "nodes": 1}],
        "next_cursor": None,
        "total_users": 1,
        "total_connections": 1,
    }
    none = (await get(deps, "/api/connections?user=dave", admin=True))[1]
    assert (none["items"], none["total_connections"]) == ([], 0)
