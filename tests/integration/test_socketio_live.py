"""Socket.IO through the real parts, with the frontends' client, old and new, by either transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.event_client import events
from tests.integration.live_client import live
from tests.integration.socketio_process import SocketIoProcess, socketio
from tests.integration.stack import Stack
from tests.ports import free_port

VERSIONS = ["socket.io-client-4.6", "socket.io-client"]
WAYS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "sockets only": {"transports": ["websocket"]},
    "polling only": {"transports": ["polling"]},
}
every_client = pytest.mark.parametrize("package", VERSIONS)
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def user() -> str:
    """Return a user that no other test uses."""
    return f"user-{uuid4().hex[:8]}"


async def add(client: httpx.AsyncClient, title: str, **more: Any) -> dict[str, Any]:
    """Create a task."""
    answer = await client.post("/api/tasks", json={"title": title, **more})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


@asynccontextmanager
async def signed_in(
    stack: Stack, user: str, package: str, node: int = 0, **options: Any
) -> AsyncIterator[SocketIoProcess]:
    """Return a client that has authenticated as the seed's do."""
    async with socketio(stack.urls[node], package, **options) as client:
        await client.receive_named("connect")
        client.send("emit", "authenticate", {"userId": user, "token": stack.token(user)})
        assert (await client.receive_named("authenticated"))["userId"] == user
        yield client


@every_client
@every_way
async def test_two_clients_receive_a_completion(
    running_stack: Stack, user: str, package: str, way: str
) -> None:
    """Each once, on either node, with the fields that a frontend reads."""
    async with running_stack.client(user) as http, AsyncExitStack() as stack:
        task = await add(http, "Buy milk")
        clients = [
            await stack.enter_async_context(signed_in(running_stack, user, package, node, **WAYS[way]))
            for node in (0, 1)
        ]
        for client in clients:
            answer = await client.ask("subscribe:task", task["id"])
            assert (answer["type"], answer["taskId"]) == ("subscribed", task["id"])
        done = (await http.post(f"/api/tasks/{task['id']}/complete")).json()
        for client in clients:
            update = await client.task_update("task.completed")
            assert (update["taskId"], update["userId"]) == (task["id"], user)
            assert update["task"] == done
            assert update["changes"]["status"] == ["open", "done"]
            assert update["event"]["type"] == "task.completed"
        await add(http, "next")
        for client in clients:
            assert (await client.receive_named("task:update"))["task"]["title"] == "next"


@every_client
@every_way
async def test_token_may_be_in_the_handshake(running_stack: Stack, user: str, package: str, way: str) -> None:
    """The client is authenticated after `connect`; an invalid token is a `connect_error`."""
    url, good = running_stack.urls[0], running_stack.token(user)
    async with socketio(url, package, auth={"token": good}, **WAYS[way]) as client:
        assert (await client.receive())[0] == "connect"
        assert (await client.receive_named("authenticated"))["userId"] == user
    async with socketio(url, package, auth={"token": good + "x"}, **WAYS[way]) as client:
        assert "signature" in await client.receive_named("connect_error")
    async with socketio(url, package, auth={"token": good, "userId": "eve"}, **WAYS[way]) as client:
        assert await client.receive_named("connect_error") == "the token is another user's"


@every_client
@every_way
async def test_invalid_token_ends_the_connection(
    running_stack: Stack, user: str, package: str, way: str
) -> None:
    """With the reason, and without a reconnection; so does another user's."""
    url, good = running_stack.urls[0], running_stack.token(user)
    for token, name, code in [("demo-token", user, "unauthenticated"), (good, "eve", "forbidden")]:
        async with socketio(url, package, **WAYS[way]) as client:
            await client.receive_named("connect")
            client.send("emit", "authenticate", {"userId": name, "token": token})
            error = await client.receive_named("error")
            assert error["code"] == code
            assert error["message"]
            assert await client.receive_named("disconnect") == "io server disconnect"
            client.send("connect")
            assert (await client.receive())[0] == "connect"


@every_client
async def test_invisible_channels_are_refused(running_stack: Stack, user: str, package: str) -> None:
    """On request, and before authentication; invalid requests get an error."""
    async with running_stack.client(f"{user}-other") as other:
        secret = await add(other, "secret")
    async with socketio(running_stack.urls[0], package) as client:
        await client.receive_named("connect")
        assert (await client.ask("subscribe:task", secret["id"]))["code"] == "unauthenticated"
        assert (await client.ask("authenticate", {"token": 5}))["code"] == "malformed"
        token = running_stack.token(user)
        assert (await client.ask("authenticate", {"token": token}))["type"] == "authenticated"
        assert (await client.ask("authenticate", {"token": token}))["code"] == "malformed"
        client.send("emit", "subscribe:task", {"taskId": secret["id"]})
        assert (await client.receive_named("error"))["code"] == "not_found"
        wrongs: list[Any] = ["no-id", None, 5, {"taskId": []}, {}]
        for wrong in wrongs:
            assert (await client.ask("subscribe:task", wrong))["code"] == "malformed"


@every_client
async def test_unsubscribed_task_is_still_received_by_its_list(
    running_stack: Stack, user: str, package: str
) -> None:
    """Each update once: the channel of a task adds none of those."""
    async with running_stack.client(user) as http, signed_in(running_stack, user, package, 1) as client:
        task = await add(http, "one")
        assert (await client.receive_named("task:update"))["task"] == task
        assert (await client.ask("subscribe:task", {"taskId": task["id"]}))["type"] == "subscribed"
        await http.patch(f"/api/tasks/{task['id']}", json={"title": "two"})
        assert (await client.receive_named("task:update"))["task"]["title"] == "two"
        assert (await client.ask("unsubscribe:task", {"taskId": task["id"]}))["type"] == "unsubscribed"
        for title in ("three", "four"):
            await http.patch(f"/api/tasks/{task['id']}", json={"title": title})
            assert (await client.receive_named("task:update"))["task"]["title"] == title


@every_client
@every_way
async def test_clients_reconnect_by_themselves(
    running_stack: Stack, user: str, package: str, way: str
) -> None:
    """When a node restarts: they get a goodbye, reconnect, authenticate, and receive updates."""
    port = free_port()
    part = await asyncio.to_thread(running_stack.start_api, port)
    token = running_stack.token(user)
    async with (
        running_stack.client(user) as http,
        signed_in(running_stack, user, package, -1, **WAYS[way]) as client,
    ):
        running_stack.urls.pop()
        await add(http, "before")
        assert (await client.receive_named("task:update"))["task"]["title"] == "before"
        stopping = asyncio.create_task(asyncio.to_thread(part.stop))
        assert (await client.receive_named("goodbye"))["code"] == 4001
        assert await client.receive_named("disconnect") in {"transport close", "transport error"}
        await stopping
        again = await asyncio.to_thread(running_stack.start_api, port)
        running_stack.urls.pop()
        await client.receive_named("connect")
        client.send("emit", "authenticate", {"userId": user, "token": token})
        assert (await client.receive_named("authenticated"))["userId"] == user
        await add(http, "after")
        assert (await client.receive_named("task:update"))["task"]["title"] == "after"
    await asyncio.to_thread(again.stop)


@every_client
async def test_other_transports_work_on_the_same_node(running_stack: Stack, user: str, package: str) -> None:
    """Sockets and streams."""
    async with (
        running_stack.client(user) as http,
        signed_in(running_stack, user, package) as client,
        live(running_stack.ws_url(), running_stack.token(user)) as socket,
        events(http) as stream,
    ):
        await stream.next()
        client.send("transport")
        assert await client.receive_named("transport") in {"websocket", "polling"}
        task = await add(http, "for all")
        assert (await socket.update("task."))["task"] == task
        assert (await stream.update("task."))["task"] == task
        assert (await client.receive_named("task:update"))["task"] == task
