"""A scripted WebSocket server: each connection follows a script, and received messages are kept."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import ormsgpack
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tasktape_client.link import PACKED_SUBPROTOCOL, Server
from tasktape_client.patience import Patience
from tasktape_client.tokens import Token, TokenSource
from tasktape_client.updates import Updates

SOON = Patience(first_delay_s=0.0, longest_delay_s=0.05)


class Peer:
    """The server's side of a connection, for its script."""

    def __init__(self, socket: ServerConnection, got: list[dict[str, Any]]) -> None:
        self.socket = socket
        self._heard = got

    async def receive(self, kind: str) -> dict[str, Any]:
        """Receive the next message, and check its type."""
        frame = await self.socket.recv()
        message: dict[str, Any] = ormsgpack.unpackb(frame) if isinstance(frame, bytes) else json.loads(frame)
        self._heard.append(message)
        assert message["type"] == kind, message
        return message

    async def send(self, *messages: dict[str, Any]) -> None:
        """Send messages."""
        for message in messages:
            await self._send(message)

    async def send_together(self, *messages: dict[str, Any]) -> None:
        """Send messages in one frame."""
        await self._send(messages)

    async def _send(self, value: object) -> None:
        packed = self.socket.subprotocol == PACKED_SUBPROTOCOL
        await self.socket.send(ormsgpack.packb(value) if packed else json.dumps(value))

    async def welcome(self, **changes: Any) -> dict[str, Any]:
        """Receive the authentication and reply to it."""
        hello = await self.receive("authenticate")
        await self.send({**hello_of(hello["id"]), **changes})
        return hello

    async def close(self, code: int, reason: str = "", retry_after_ms: list[int] | None = None) -> None:
        """Send a goodbye and close."""
        if retry_after_ms is not None:
            goodbye = {"type": "goodbye", "code": code, "reason": reason, "retry_after_ms": retry_after_ms}
            await self.send(goodbye)
        await self.socket.close(code, reason)


Script = Callable[[Peer], Awaitable[None]]


class ScriptedServer:
    """A server that runs one script for each connection, and the last one for all further ones."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.got: list[dict[str, Any]] = []
        self.spoken: list[Subprotocol | None] = []
        self.connections = 0
        self.open = 0
        self.url = ""

    async def __call__(self, socket: ServerConnection) -> None:
        """Serve one connection. It stays open when its script ends."""
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.spoken.append(socket.subprotocol)
        self.connections += 1
        self.open += 1
        try:
            await script(Peer(socket, self.got))
            await socket.wait_closed()
        except ConnectionClosed:
            pass
        finally:
            self.open -= 1

    def updates(self, token: Token = "t", *, packed: bool = False, **how: Any) -> Updates:
        """Return updates of this server."""
        return Updates(Server(self.url, TokenSource(token), packed), **{"patience": SOON, **how})

    def received(self, kind: str) -> list[dict[str, Any]]:
        """Return the received messages of a type."""
        return [message for message in self.got if message["type"] == kind]


@asynccontextmanager
async def scripted_server(
    *scripts: Script, speaks: Sequence[Subprotocol] = ()
) -> AsyncIterator[ScriptedServer]:
    """Run a server. It selects the first offered subprotocol that it supports."""
    server = ScriptedServer(*scripts)
    async with serve(server, "127.0.0.1", 0, ping_interval=None, subprotocols=speaks) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        server.url = f"http://127.0.0.1:{port}"
        yield server


def hello_of(identifier: object) -> dict[str, Any]:
    """Return the reply to an authentication."""
    return {
        "id": identifier,
        "type": "authenticated",
        "user": "alice",
        "session": "s",
        "expires_in": 3600,
        "ping_s": 25,
        "channels": ["user:alice", "list:L"],
        "positions": {"0": 10},
        "missed": 0,
    }


def update_of(position: str, channel: str = "list:L") -> dict[str, Any]:
    """Return an update."""
    event = {
        "id": f"event of {position}",
        "type": "task.edited",
        "stream": "task:T",
        "version": 2,
        "position": position,
        "outcome": "accepted",
        "time": "2026-01-01T00:00:00Z",
        "recorded_at": "2026-01-01T00:00:00Z",
        "actor": "bob",
        "data": {},
    }
    return {
        "type": "update",
        "channel": channel,
        "position": position,
        "event": event,
        "changes": {"title": ["a", "b"]},
        "task": None,
        "list": None,
    }
