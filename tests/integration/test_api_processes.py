"""Several API processes on one port: clients are spread over them, and none misses anything."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.integration.live_client import LiveClient, live
from tests.integration.stack import STOP_LIMIT_S, Part, Stack
from tests.ports import free_port
from tests.waiting import eventually, eventually_sync

SOCKETS = 24


class Shared:
    """Two processes on one port."""

    def __init__(self, stack: Stack, port: int) -> None:
        self.stack = stack
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.parts: list[Part] = []

    def start(self) -> Part:
        """Start another process and wait for its ready file."""
        name = f"shared-{uuid4().hex[:8]}"
        ready = self.stack.folder / f"{name}.ready"
        environment = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "TASKTAPE_REUSE_PORT": "on",
            "TASKTAPE_READY_FILE": str(ready),
        }
        part = self.stack._start(name, "api", environment)
        self.stack._await(part, ready.exists)
        self.parts.append(part)
        return part

    def ready_file(self, part: Part) -> Path:
        return part.log.with_suffix(".ready")

    def part_of(self, local_port: int) -> Part:
        """Return the process with the other end of a connection."""
        return next(part for part in self.parts if local_port in peers_of(part, self.port))

    async def node(self) -> str:
        """Return the process that answers a new connection."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            return str((await client.get("/readyz")).json()["node"])

    @asynccontextmanager
    async def sockets(self, user: str) -> AsyncIterator[list[LiveClient]]:
        """Return many sockets of one user."""
        token, url = self.stack.token(user), self.url.replace("http", "ws") + "/ws"
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(live(url, token)) for _ in range(SOCKETS)]


def peers_of(part: Part, port: int) -> set[int]:
    """Return the client ports connected to a process at `port`."""
    connections = psutil.Process(part.process.pid).net_connections("tcp")
    return {each.raddr.port for each in connections if each.raddr and each.laddr.port == port}


def local_port(client: LiveClient) -> int:
    port: int = client.socket.local_address[1]
    return port


@pytest.fixture(scope="module")
def shared(running_stack: Stack) -> Iterator[Shared]:
    shared = Shared(running_stack, free_port())
    shared.start()
    shared.start()
    yield shared
    for part in shared.parts:
        part.stop()
        running_stack.parts.remove(part)


async def test_both_processes_answer(shared: Shared) -> None:
    """Each tells its own name, and counts its own."""
    nodes = {await shared.node() for _ in range(64)}
    assert len(nodes) == 2
    async with httpx.AsyncClient(base_url=shared.url, trust_env=False) as client:
        node = (await client.get("/readyz")).json()["node"]
        assert f'tasktape_node_info{{node="{node}"' in (await client.get("/metrics")).text


async def test_sockets_of_both_processes_get_every_update(shared: Shared) -> None:
    """Once, whichever process wrote it."""
    user = f"user-{uuid4().hex[:8]}"
    async with shared.stack.client(user) as api, shared.sockets(user) as clients:
        assert {shared.part_of(local_port(client)).name for client in clients} == {
            part.name for part in shared.parts
        }
        titles = [f"Task {number}" for number in range(5)]
        for title in titles:
            created = await api.post(f"{shared.url}/api/tasks", json={"title": title})
            assert created.status_code == 201
        for client in clients:
            received = [(await client.update("task.created"))["task"]["title"] for _ in titles]
            assert sorted(received) == titles  # order holds within a partition only


async def test_one_process_stops_and_the_other_continues(shared: Shared) -> None:
    """Not ready at once; its sockets reconnect to the other, which serves every new client."""
    leaves = shared.start()
    user = f"user-{uuid4().hex[:8]}"
    async with shared.sockets(user) as clients:
        gone = [client for client in clients if shared.part_of(local_port(client)) is leaves]
        assert gone
        began = time.monotonic()
        leaves.process.terminate()
        await eventually(lambda: not shared.ready_file(leaves).exists())
        while leaves.process.poll() is None:
            assert await shared.node()
            assert time.monotonic() - began < STOP_LIMIT_S
        for client in gone:
            await asyncio.wait_for(client.socket.wait_closed(), STOP_LIMIT_S)
            assert client.socket.close_code == 4001
        async with live(f"ws://127.0.0.1:{shared.port}/ws", shared.stack.token(user), gone[0].positions):
            pass
    assert leaves.process.returncode == 0
    shared.parts.remove(leaves)
    shared.stack.parts.remove(leaves)


def test_port_of_another_instance_is_not_shared(running_stack: Stack) -> None:
    """One line says that it is taken, though our processes could have shared it."""
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        part = running_stack._start(
            "refused", "api", {"HOST": "127.0.0.1", "PORT": str(port), "TASKTAPE_REUSE_PORT": "on"}
        )
        running_stack.parts.remove(part)
        eventually_sync(lambda: part.process.poll() is not None)
    assert part.process.returncode == 1
    assert f"cannot bind 127.0.0.1:{port}" in part.tail()
