"""The application under hypercorn, another ASGI server: HTTP, sockets, SSE and Socket.IO."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config
from websockets.asyncio.client import connect

from api.main import create_app
from app.settings import Settings
from tests.integration.live_client import live
from tests.integration.stack import Stack
from tests.ports import free_port
from tests.waiting import eventually

LIMIT_S = 30.0


@pytest.fixture
async def url(running_stack: Stack) -> AsyncIterator[str]:
    """Yield the URL of a node of the stack that hypercorn serves."""
    port, stop = free_port(), asyncio.Event()
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = None
    app = create_app(Settings.from_environment(running_stack.environment))
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
    address = f"http://127.0.0.1:{port}"

    async def is_ready() -> bool:
        assert not serving.done(), serving.exception()
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"{address}/readyz")).is_success
        except httpx.TransportError:
            return False

    await eventually(is_ready)
    yield address
    stop.set()
    await asyncio.wait_for(serving, LIMIT_S)


def client_of(stack: Stack, url: str, user: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {stack.token(user)}"}
    return httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=LIMIT_S)


async def test_requests_sockets_and_streams_are_served(running_stack: Stack, url: str) -> None:
    user = f"user-{uuid4().hex[:8]}"
    async with client_of(running_stack, url, user) as client:
        refused = await client.post("/api/tasks", json={"title": ""})
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
        async with (
            live(url.replace("http", "ws") + "/ws", running_stack.token(user)) as socket,
            client.stream("GET", "/api/stream") as stream,
        ):
            lines = stream.aiter_lines()
            async with asyncio.timeout(LIMIT_S):
                while await anext(lines) != "event: authenticated":
                    pass
            made = await client.post("/api/tasks", json={"title": "Buy milk"})
            assert made.status_code == 201
            assert (await socket.update("task.created"))["task"]["title"] == "Buy milk"
            async with asyncio.timeout(LIMIT_S):
                while not (line := await anext(lines)).startswith("data:") or "Buy milk" not in line:
                    pass
            assert json.loads(line.removeprefix("data:"))["task"]["id"] == made.json()["id"]


async def test_socket_io_is_served_by_polling(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/socket.io/", params={"EIO": "4", "transport": "polling"})
        assert answer.status_code == 200
        assert json.loads(answer.text[1:])["upgrades"] == ["websocket"]


async def test_invalid_token_closes_a_socket_with_its_code(url: str) -> None:
    async with connect(url.replace("http", "ws") + "/ws") as socket:
        await socket.send(json.dumps({"type": "authenticate", "id": 1, "token": "junk"}))
        await asyncio.wait_for(socket.wait_closed(), LIMIT_S)
        assert socket.close_code == 4500
