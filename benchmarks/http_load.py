"""Load over HTTP/1.1: persistent connections, with one request at a time on each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

LIMIT_S = 60.0


@dataclass(slots=True)
class Load:
    """The result: the time of each answer, and the number of failures."""

    times_s: list[float] = field(default_factory=list)
    refused: int = 0
    took_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Return the answers of success per second."""
        return (len(self.times_s) - self.refused) / self.took_s


class _Connection(asyncio.Protocol):
    """A connection that sends the next request as soon as the previous answer has arrived."""

    def __init__(self, next_request: Callable[[], bytes | None], load: Load) -> None:
        self._next_request = next_request
        self._load = load
        self._buffer = b""
        self._sent_s = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        request = self._next_request()
        assert self._transport is not None
        if request is None:
            self._transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self._sent_s = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at:].partition(b"\r\n")[0])
        if len(self._buffer) < head_end + 4 + length:
            return
        self._load.times_s.append(time.perf_counter() - self._sent_s)
        self._load.refused += self._buffer[9:10] != b"2"
        self._buffer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed a connection"))


async def run_load(url: str, makers: Sequence[Callable[[int], bytes]], clients: int, seconds: float) -> Load:
    """Send requests on `clients` connections; each of `makers` in turn makes one from a number."""
    load, number = Load(), 0
    deadline_s = time.monotonic() + seconds

    def next_request() -> bytes | None:
        nonlocal number
        number += 1
        return makers[number % len(makers)](number) if time.monotonic() < deadline_s else None

    place = urlsplit(url)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    started_s = time.monotonic()
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: _Connection(next_request, load), host, port))[1]
        for _ in range(clients)
    ]
    async with asyncio.timeout(seconds + LIMIT_S):
        await asyncio.gather(*(each.done for each in connections))
    load.took_s = time.monotonic() - started_s
    return load
