"""Client of `/ws` for tests: it authenticates, keeps its position as careful clients do, and checks order.

The server sends messages at any time, such as updates of what another node has just written, and presence.
So a test names the message that it waits for.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.updates import matches

LIMIT_S = 30.0


class LiveClient:
    """One connection; `positions` are those to resume from."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.positions: dict[str, int] = {}
        self.hello: dict[str, Any] = {}
        self._ids = count(1)
        self._aside = deque[dict[str, Any]]()
        self._missed = 0
        self._adopt: dict[str, int] = {}

    async def authenticate(self, token: str, **more: Any) -> None:
        """Authenticate, and keep the reply in `hello`."""
        self.hello = await self.request(type="authenticate", token=token, **more)
        assert self.hello["type"] == "authenticated", self.hello

    async def send(self, **message: Any) -> None:
        """Send a message."""
        await self.socket.send(json.dumps(message))

    async def request(self, **message: Any) -> dict[str, Any]:
        """Send a message and return its reply; what comes before the reply is received later."""
        number = next(self._ids)
        await self.socket.send(json.dumps({**message, "id": number}))
        while (reply := await self._read()).get("id") != number:
            self._aside.append(reply)
        return reply

    async def receive(self, **fields: Any) -> dict[str, Any]:
        """Return the next message, or the next with these fields; pings are skipped."""
        while True:
            message = self._aside.popleft() if self._aside else await self._read()
            if fields.items() <= message.items():
                return message

    async def update(self, type_: str = "", of: str = "") -> dict[str, Any]:
        """Return the next update, or the next that `matches`, skipping other messages."""
        while not matches(message := await self.receive(type="update"), type_, of):
            pass
        return message

    async def updates(self, *types: str) -> list[dict[str, Any]]:
        """Return the next update of each type, in this order; those of several streams come in any."""
        found: dict[str, dict[str, Any]] = {}
        while len(found) < len(types):
            message = await self.update()
            found.setdefault(next((each for each in types if matches(message, each)), ""), message)
            found.pop("", None)
        return [found[each] for each in types]

    async def _read(self) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(await asyncio.wait_for(self.socket.recv(), LIMIT_S))
            if message["type"] != "ping":
                self._follow(message)
                return message

    def _follow(self, message: Mapping[str, Any]) -> None:
        if message["type"] in {"authenticated", "subscribed"}:
            self._missed, self._adopt = message["missed"], message["positions"]
            self._adopt_if_complete()
        elif message["type"] == "update" and self._missed:
            self._missed -= 1
            self._adopt_if_complete()
        elif message["type"] == "update" and not message["channel"].startswith("replay:"):
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
        await client.authenticate(token, **({} if since is None else {"since": dict(since)}))
        yield client
