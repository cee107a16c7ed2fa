"""Replays as event streams through the real parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.protocol.limits import MAX_REPLAYS
from tests.api.event_client import Event, EventReader
from tests.integration.stack import Stack
from tests.integration.test_replay_live import imported
from tests.waiting import eventually

FULL_SPEED = {"speed": "1e9", "max_gap_ms": "0"}
SLOWLY = {"speed": "1", "max_gap_ms": "3600000"}


@pytest.fixture
def user() -> str:
    """Return a user that no other test uses."""
    return f"user-{uuid4().hex[:8]}"


@asynccontextmanager
async def replay(
    client: httpx.AsyncClient, list_id: str, params: Mapping[str, str], last_id: str | None = None
) -> AsyncIterator[EventReader]:
    """Yield a replay's stream."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with client.stream("GET", f"/api/lists/{list_id}/replay", params=params, headers=headers) as answer:
        if answer.status_code != 200:
            await answer.aread()
        assert answer.status_code == 200, answer.text
        yield EventReader(answer, last_id)


def updates(events: list[Event]) -> list[dict[str, Any]]:
    """Return the messages of the updates."""
    return [event.message for event in events if event.name == "update"]


async def test_stream_is_the_replay_and_ends_with_it(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client:
        list_id = await imported(client)
        async with replay(client, list_id, FULL_SPEED) as stream:
            events = [event for event in await stream.rest() if event.name]
        states = [event.message["state"] for event in events if event.name == "replay"]
        assert states == ["snapshot", "playing", "ended"]
        assert [each["event"]["type"] for each in updates(events)] == [
            *["task.created"] * 3,
            *["task.edited"] * 3,
            *["task.completed"] * 3,
            "list.created",
        ]
        # A browser that reconnects after the end is told that there is nothing more.
        assert events[-1].place == "end"
        path, headers = f"/api/lists/{list_id}/replay", {"Last-Event-ID": "end"}
        assert (await client.get(path, headers=headers)).status_code == 204
        assert (await client.head(path)).status_code == 200


async def test_stream_is_resumed_after_any_event(running_stack: Stack, user: str) -> None:
    """Without a gap, a repetition or a snapshot, also on the other node."""
    async with running_stack.client(user) as client, running_stack.client(user, 1) as other:
        list_id = await imported(client)
        async with replay(client, list_id, FULL_SPEED) as stream:
            whole = [event for event in await stream.rest() if event.name == "update"]
        for place in (0, 4, 8):
            async with replay(other, list_id, FULL_SPEED, whole[place].place) as stream:
                rest = [event for event in await stream.rest() if event.name]
            assert [event.message.get("state") for event in rest if event.name == "replay"] == [
                "playing",
                "ended",
            ]
            assert updates(rest) == updates(whole[place + 1 :])


async def test_part_types_and_token_are_in_the_address(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client:
        list_id = await imported(client)
    params = {
        **FULL_SPEED,
        "from": "2013-01-01T00:00:01Z",
        "to": "2013-01-01T00:01:01Z",
        "type": "task.edited",
        "access_token": running_stack.token(user),
    }
    async with (
        httpx.AsyncClient(base_url=running_stack.urls[0], trust_env=False) as client,
        replay(client, list_id, params) as stream,
    ):
        snapshot = (await stream.named("replay")).message
        assert [task["title"] for task in snapshot["tasks"]] == ["task 0", "task 1"]
        titles = [each["task"]["title"] for each in updates(await stream.rest())]
    assert titles == ["edited 0", "edited 1"]


@pytest.mark.parametrize(
    ("params", "headers", "status"),
    [
        ({"speed": "0"}, {}, 422),
        ({"speed": "-1"}, {}, 422),
        ({"speed": "nan"}, {}, 422),
        ({"speed": "2e9"}, {}, 422),
        ({"max_gap_ms": "-1"}, {}, 400),
        ({"type": "task.flown"}, {}, 422),
        ({"from": "soon"}, {}, 422),
        ({"from": "2013-01-02T00:00:00Z", "to": "2013-01-01T00:00:00Z"}, {}, 422),
        ({"until": "2013-01-02T00:00:00Z"}, {}, 400),
        ({}, {"Last-Event-ID": "0:121"}, 400),
        ({}, {"Last-Event-ID": "soon,0:121"}, 400),
    ],
)
async def test_bad_request_is_a_problem(
    running_stack: Stack, user: str, params: dict[str, str], headers: dict[str, str], status: int
) -> None:
    async with running_stack.client(user) as client:
        inbox = (await client.get("/api/lists")).json()["items"][0]["id"]
        answer = await client.get(f"/api/lists/{inbox}/replay", params=params, headers=headers)
        assert answer.status_code in {status, 422}, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


async def test_foreign_list_is_not_found(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client, running_stack.client(f"other-{user}") as other:
        inbox = (await client.get("/api/lists")).json()["items"][0]["id"]
        for list_id in (inbox, str(uuid4())):
            assert (await other.get(f"/api/lists/{list_id}/replay")).status_code == 404
        assert (await client.get("/api/stream", params={"channel": f"replay:{inbox}"})).status_code == 400


async def test_deleted_list_ends_the_stream_with_the_reason(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client:
        list_id = await imported(client)
        async with replay(client, list_id, SLOWLY) as stream:
            while (await stream.named("replay")).message["state"] != "playing":
                pass
            assert (await client.delete(f"/api/lists/{list_id}")).is_success
            *_, last = [event for event in await stream.rest() if event.name]
        assert (last.message["state"], last.message["reason"]) == ("ended", "the list was deleted")
        assert last.place is None


async def test_ninth_stream_is_refused_and_a_closed_one_frees_its_place(
    running_stack: Stack, user: str
) -> None:
    async with running_stack.client(user) as client:
        list_id = await imported(client)
        streams = [replay(client, list_id, SLOWLY) for _ in range(MAX_REPLAYS)]
        for stream in streams:
            await stream.__aenter__()
        refused = await client.get(f"/api/lists/{list_id}/replay")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
        for stream in streams:
            await stream.__aexit__(None, None, None)

        async def is_free() -> bool:
            async with client.stream("GET", f"/api/lists/{list_id}/replay", params=SLOWLY) as answer:
                return answer.status_code == 200

        await eventually(is_free)


async def test_expired_token_ends_the_stream(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client:
        list_id = await imported(client)
    url, headers = running_stack.urls[0], {"Authorization": f"Bearer {running_stack.token(user, ttl_s=3)}"}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as client,
        replay(client, list_id, SLOWLY) as stream,
    ):
        *_, last = [event for event in await stream.rest() if event.name]
    assert (last.name, last.message["code"]) == ("goodbye", 4005)
