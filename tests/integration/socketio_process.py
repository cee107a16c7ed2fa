"""The npm package `socket.io-client` in a process of its own, as a test client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("socketio_client.mjs")
LIMIT_S = 30.0
LINE_BYTES = 8 * 1024 * 1024


class SocketIoProcess:
    """One client, controlled by commands and observed by its events."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def send(self, *command: Any) -> None:
        """Send a command; see the script."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def receive(self) -> list[Any]:
        """Return the next event."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), LIMIT_S)
        assert line, "the client ended"
        happened: list[Any] = json.loads(line)
        return happened

    async def receive_named(self, name: str) -> Any:
        """Return the argument of the next event of a name, skipping others."""
        while (happened := await self.receive())[0] != name:
            pass
        return happened[1] if len(happened) > 1 else None

    async def task_update(self, type_: str) -> Any:
        """Return the next update of this type."""
        while (update := await self.receive_named("task:update"))["type"] != type_:
            pass
        return update

    async def ask(self, event: str, *arguments: Any) -> Any:
        """Emit an event and return its acknowledgement."""
        self.send("ask", event, *arguments)
        return await self.receive_named("answer")


@asynccontextmanager
async def socketio(url: str, package: str, **options: Any) -> AsyncIterator[SocketIoProcess]:
    """Yield a client that connects."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        package,
        url,
        json.dumps(options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
    )
    try:
        yield SocketIoProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
