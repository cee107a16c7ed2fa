"""Stopping an API process: connected and arriving clients are served."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.integration.stack import Part, Stack
from tests.ports import free_port
from tests.waiting import LIMIT_S, eventually

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def stopping_node(stack: Stack, **environment: str) -> AsyncIterator[tuple[Part, str, int]]:
    """Start an API process that the test stops; yield it, its host and its port."""
    port = free_port()
    variables = {"HOST": LOOPBACK, "PORT": str(port), **environment}
    part = stack._start(f"stopping-{port}", "api", variables)
    stack.parts.remove(part)
    try:
        async with httpx.AsyncClient(trust_env=False) as client:

            async def ready() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"http://{LOOPBACK}:{port}/readyz")).status_code == 200
                return False

            await eventually(ready)
        yield part, LOOPBACK, port
        await eventually(lambda: part.process.poll() is not None)
        assert part.process.returncode == 0, part.tail()
    finally:
        part.kill()


async def refuses(host: str, port: int) -> bool:
    """Return whether nobody listens there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_open_connections_are_served_once_more_on_stop(running_stack: Stack) -> None:
    """An idle one, a new one, and one with half a request; the response ends each."""
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with stopping_node(running_stack) as (part, host, port):
        idle, fresh, halfway = [await asyncio.open_connection(host, port) for _ in range(3)]
        idle[1].write(request)
        answer = await idle[0].readuntil(b"\r\n\r\n")
        await idle[0].readexactly(content_length(answer))
        assert b"connection: close" not in answer
        halfway[1].write(request[:10])
        part.process.send_signal(signal.SIGTERM)

        async def stopped_listening() -> bool:
            return await refuses(host, port)

        await eventually(stopped_listening)
        for (reader, writer), rest in ((idle, request), (fresh, request), (halfway, request[10:])):
            writer.write(rest)
            answer = await asyncio.wait_for(reader.read(), LIMIT_S)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in answer
            writer.close()


async def test_stopping_node_with_a_delay_serves_new_clients_and_is_not_ready(running_stack: Stack) -> None:
    delay_s = 2
    async with (
        stopping_node(running_stack, TASKTAPE_SHUTDOWN_DELAY_S=str(delay_s)) as (part, host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client,
    ):
        began = time.monotonic()
        part.process.send_signal(signal.SIGTERM)

        async def not_ready() -> bool:
            answer = await client.get("/readyz?lag=any")
            return answer.status_code == 503 and answer.json()["problems"] == ["this process stops"]

        await eventually(not_ready)
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")

        async def stopped_listening() -> bool:
            return await refuses(host, port)

        await eventually(stopped_listening)
        assert time.monotonic() - began >= delay_s


def content_length(head: bytes) -> int:
    """Return the length of the body that a response's head announces."""
    found = re.search(rb"content-length: (\d+)", head)
    assert found is not None
    return int(found[1])
