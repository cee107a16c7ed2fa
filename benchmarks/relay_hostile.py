"""Ten hostile clients, until they are stopped: five never read, five flood and reconnect at once.

`python -m benchmarks.relay_hostile URL TOKEN`
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from benchmarks.relay_load import Serving

EACH = 5
RECEIVE_BYTES = 4_096
FLOOD_MESSAGES = 400
BACK_AFTER_S = 0.2
GONE = (OSError, TimeoutError, WebSocketException)


@contextmanager
def hostile(serving: Serving) -> Iterator[None]:
    """Run them during the block."""
    options = dict(zip(serving.speak[::2], serving.speak[1::2], strict=False))
    with open(options["-tokens"], encoding="utf-8") as tokens:  # noqa: PTH123
        token = tokens.readline().strip()
    command = [sys.executable, "-m", "benchmarks.relay_hostile", options["-url"], token]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # They have connected.
        try:
            yield
        finally:
            process.terminate()


async def _never_read(url: str, hello: str) -> None:
    """Authenticate, and read nothing; reconnect after a close."""
    while True:
        with suppress(*GONE), socket.socket() as narrow:
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            narrow.setblocking(False)
            host, _, port = url.split("/")[2].partition(":")
            await asyncio.get_running_loop().sock_connect(narrow, (host, int(port)))
            async with connect(url, sock=narrow, max_queue=1, ping_interval=None) as client:
                await client.send(hello)
                await client.wait_closed()
        await asyncio.sleep(BACK_AFTER_S)


async def _flood(url: str, hello: str) -> None:
    """Send far too many messages until the socket is closed; then again."""
    while True:
        with suppress(*GONE):
            async with connect(url, ping_interval=None) as client:
                await client.send(hello)
                for _ in range(FLOOD_MESSAGES):
                    await client.send('{"id":1,"type":"subscribe","channel":"nonsense"}')
                await client.send("{")
                await client.wait_closed()
        await asyncio.sleep(BACK_AFTER_S)


async def _run(url: str, token: str) -> None:
    hello = json.dumps({"type": "authenticate", "token": token})
    async with asyncio.TaskGroup() as group:
        for _ in range(EACH):
            group.create_task(_never_read(url, hello))
            group.create_task(_flood(url, hello))
        await asyncio.sleep(1.0)
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], sys.argv[2]))
