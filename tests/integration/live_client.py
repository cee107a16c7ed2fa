"""Client of `/ws` for tests: it authenticates, keeps its position as careful clients do, and checks order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

LIMIT_S = 15.0


class LiveClient:
    """One connection; `positions` are those to resume from."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.positions: dict[str, int] = {}
        self.hello: dict[str, Any] = {}
        self._missed = 0
        self._adopt: dict[str, int] = {}

    async def send(self, **message: Any) -> None:
        """Send a message."""
        await self.socket.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        """Return the next message that is no ping."""
        while True:
            message: dict[str, Any] = json.loads(await asyncio.wait_for(self.socket.recv(), LIMIT_S))
            if message["type"] != "ping":
                self._follow(message)
                return message

    async def update(self) -> dict[str, Any]:
        """Return the next update, skipping other messages."""
        while (message := await self.receive())["type"] != "update":
            pass
        return message

    def _follow(self, message: Mapping[str, Any]) -> None:
        if message["type"] in {"authenticated", "subscribed"}:
            self._missed, self._adopt = message["missed"], message["positions"]
            self._adopt_if_complete()
        elif message["type"] == "update" and self._missed:
            self._missed -= 1
            self._adopt_if_complete()
        elif message["type"] == "update":
            partition, _, offset = message["position"].partition(":")
            assert self.positions.get(partition, -1) < int(offset), "out of order, or twice"
            self.positions[partition] = int(offset)

    def _adopt_if_complete(self) -> None:
        if self._missed == 0:
            self.positions = dict(self._adopt)


@asynccontextmanager
async def live(url: str, token: str, since: Mapping[str, int] | None = None) -> AsyncIterator[LiveClient]:
    """Yield an authenticated connection."""
    async with connect(url, subprotocols=[Subprotocol("tasktape.v1.json")], max_size=None) as socket:
        client = LiveClient(socket)
        resume = {} if since is None else {"since": dict(since)}
        await client.send(id=1, type="authenticate", token=token, **resume)
        client.hello = await client.receive()
        assert client.hello["type"] == "authenticated", client.hello
        yield client
