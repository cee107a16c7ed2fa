"""Questions to the audit that are followed live: without gaps, duplicates, or events of others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.protocol.limits import MAX_TAILS
from tests.api.event_client import EventReader
from tests.integration.stack import Stack
from tests.waiting import eventually

PATH = "/api/audit/stream"


@pytest.fixture
def user() -> str:
    """Return a user that no other test uses."""
    return f"user-{uuid4().hex[:8]}"


@asynccontextmanager
async def tail(
    client: httpx.AsyncClient, last_id: str | None = None, **params: Any
) -> AsyncIterator[EventReader]:
    """Yield the stream of a question."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with client.stream("GET", PATH, params=params, headers=headers) as answer:
        if answer.status_code != 200:
            await answer.aread()
        assert answer.status_code == 200, answer.text
        reader = EventReader(answer, last_id)
        while (await reader.next()).place is None:
            pass
        yield reader


async def titled(client: httpx.AsyncClient, *titles: str, list_id: str | None = None) -> str:
    """Create a task with the first title, give it the others one by one, and return its id."""
    body = {"title": titles[0], **({"list_id": list_id} if list_id else {})}
    made = await client.post("/api/tasks", json=body)
    task_id: str = made.json()["id"]
    for title in titles[1:]:
        assert (await client.patch(f"/api/tasks/{task_id}", json={"title": title})).status_code == 200
    return task_id


async def next_events(stream: EventReader, count: int) -> list[dict[str, Any]]:
    """Return the next events of a stream."""
    return [(await stream.named("event")).message for _ in range(count)]


async def test_question_is_followed_and_resumed_after_any_event(running_stack: Stack, user: str) -> None:
    """On another node, as pages show the events."""
    async with running_stack.client(user) as client, running_stack.client(user, 1) as other:
        task_id = await titled(client, "Rent")
        question = {"stream": f"task:{task_id}", "field": "title"}
        places = []
        async with tail(client, **question) as stream:
            for title in ("Pay rent", "Pay the rent", "Rent paid"):
                await other.patch(f"/api/tasks/{task_id}", json={"title": title})
                await other.patch(f"/api/tasks/{task_id}", json={"priority": "high"})
                await other.patch(f"/api/tasks/{task_id}", json={"priority": "low"})
                [event] = await next_events(stream, 1)
                places.append(stream.place)
                assert event["changes"]["title"][1] == title
        assert event["sentence"] == f"{user} renamed “Pay the rent” to “Rent paid”"
        page = (await client.get("/api/audit/events", params={**question, "sort": "position"})).json()
        async with tail(other, since="", **question) as stream:
            assert await next_events(stream, 4) == page["items"]
        async with tail(other, places[0], **question) as stream:
            assert await next_events(stream, 2) == page["items"][2:]
        async with tail(
            other, since=",".join(f"{p}:{at}" for p, at in page["positions"].items()), **question
        ) as stream:
            await client.patch(f"/api/tasks/{task_id}", json={"title": "Next"})
            assert (await next_events(stream, 1))[0]["changes"]["title"] == ["Rent paid", "Next"]


async def test_page_and_tail_join_while_events_arrive(running_stack: Stack, user: str) -> None:
    """Tails that begin at any moment get the rest of what others write, once."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(running_stack.client(user, node)) for node in (0, 1)]
        made = await clients[0].post("/api/lists", json={"name": "Busy"})
        question = {"list_id": made.json()["id"], "type": "task.*"}

        async def write(number: int) -> None:
            titles = [f"{number} {step}" for step in range(8)]
            await titled(clients[number % 2], *titles, list_id=question["list_id"])

        async def follow(number: int) -> list[str]:
            page = (
                await clients[number % 2].get("/api/audit/events", params={**question, "limit": 200})
            ).json()
            since = ",".join(f"{p}:{at}" for p, at in page["positions"].items())
            found = [each["position"] for each in page["items"]]
            async with tail(clients[number % 2], since=since, **question) as stream:
                found += [each["position"] for each in await next_events(stream, 48 - len(found))]
            return found

        _, followed = await asyncio.gather(
            asyncio.gather(*map(write, range(6))), asyncio.gather(*map(follow, range(4)))
        )
        page = (await clients[0].get("/api/audit/events", params={**question, "limit": 200})).json()
        expected = sorted(each["position"] for each in page["items"])
        assert len(expected) == 48
        assert [sorted(each) for each in followed] == [expected] * 4


async def test_reader_gets_events_soon(running_stack: Stack, user: str) -> None:
    async with running_stack.client(user) as client:
        task_id = await titled(client, "0")
        delays = []
        async with tail(client, type="task.edited") as stream:
            for number in range(1, 30):
                await client.patch(f"/api/tasks/{task_id}", json={"title": str(number)})
                answered = time.monotonic()
                await next_events(stream, 1)
                delays.append(time.monotonic() - answered)
        assert sorted(delays)[len(delays) // 2] < 1.0  # a busy machine; it takes some 10 ms


async def test_only_what_the_reader_sees_is_sent(running_stack: Stack, user: str) -> None:
    """Until a member is removed, which ends a question about the list, and not one about everything."""
    other = f"other-{user}"
    async with running_stack.client(user) as owner, running_stack.client(other) as member:
        list_id = (await owner.post("/api/lists", json={"name": "Shared"})).json()["id"]
        path = f"/api/lists/{list_id}/members/{other}"
        assert (await member.get(PATH, params={"list_id": list_id})).status_code == 404
        assert (await owner.put(path, json={"role": "viewer"})).is_success
        async with tail(member, list_id=list_id) as stream, tail(member) as everything:
            await titled(owner, "Private")
            await titled(owner, "Common", list_id=list_id)
            for each in (stream, everything):
                assert (await next_events(each, 1))[0]["sentence"] == f"{user} created “Common”"
            assert (await owner.delete(path)).is_success
            ended = await stream.named("ended")
            assert ended.message["reason"] == "you do not see, or no longer see, what the question names"
            await titled(owner, "Secret", list_id=list_id)
            await titled(member, "Own")
            found = await next_events(everything, 1)
            assert found[0]["sentence"] == f"{other} created “Own”"


async def test_superseded_records_are_followed_by_auditors_whose_reading_is_recorded(
    running_stack: Stack, user: str
) -> None:
    async with (
        running_stack.client(user) as client,
        running_stack.client(f"auditor-{user}", auditor=True) as auditor,
    ):
        task_id = await titled(client, "Rent")
        question = {"stream": f"task:{task_id}"}
        async with tail(auditor, **question) as stream:
            await asyncio.gather(
                *(client.patch(f"/api/tasks/{task_id}", json={"title": str(n)}) for n in range(8))
            )
            found = [await next_events(stream, 1)]
            while found[-1][0]["version"] < 9 or found[-1][0]["outcome"] != "accepted":
                found.append(await next_events(stream, 1))
        page = await client.get("/api/audit/events", params={**question, "sort": "position"})
        assert [each for [each] in found] == page.json()["items"][1 : len(found) + 1]
        reads = await auditor.get("/api/audit/events", params={"stream": f"user:auditor-{user}"})
        assert [each["data"]["means"] for each in reads.json()["items"]] == ["stream"]


@pytest.mark.parametrize(
    ("params", "headers", "status"),
    [
        ({"actr": "bob"}, {}, 400),
        ({"type": "task.flown"}, {}, 422),
        ({"since": "soon"}, {}, 400),
        ({"since": "0:999999999"}, {}, 400),
        ({"since": "999:1"}, {}, 400),
        ({}, {"Last-Event-ID": "end"}, 400),
        ({"list_id": str(uuid4())}, {}, 404),
        ({"sort": "time"}, {}, 400),
    ],
)
async def test_bad_question_is_a_problem(
    running_stack: Stack, user: str, params: dict[str, str], headers: dict[str, str], status: int
) -> None:
    async with running_stack.client(user) as client:
        answer = await client.get(PATH, params=params, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


async def test_tails_of_a_user_are_limited(running_stack: Stack, user: str) -> None:
    """One that ends makes room."""
    async with running_stack.client(user) as client:
        async with AsyncExitStack() as stack:
            for _ in range(MAX_TAILS):
                await stack.enter_async_context(tail(client))
            refused = await client.get(PATH)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many")

        async def is_free() -> bool:
            async with client.stream("GET", PATH) as answer:
                return answer.status_code == 200

        await eventually(is_free)


async def test_expired_token_ends_the_stream(running_stack: Stack, user: str) -> None:
    url, headers = running_stack.urls[0], {"Authorization": f"Bearer {running_stack.token(user, ttl_s=3)}"}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as client,
        tail(client) as stream,
    ):
        *_, last = [event for event in await stream.rest() if event.name]
    assert (last.name, last.message["code"]) == ("goodbye", 4005)
