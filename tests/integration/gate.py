"""A proxy to a node that can be cut, as by a load balancer and a bad network."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Self
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
PIECE_BYTES = 16_384


class Gate:
    """Forwards connections to the node at `target`, which may change for new connections.

    Each of `cuts` lets this number of bytes through to a client, then cuts all connections.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.cuts: deque[int] = deque()
        self._passed = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Return the URL for clients, which stays the same."""
        assert self._server is not None
        return f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Cut all connections, with anything in transit."""
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            node = urlsplit(self.target)
            from_node, to_node = await asyncio.open_connection(node.hostname, node.port)
            ends.append(to_node)
            self._open.update(ends)
            ways = [
                asyncio.ensure_future(self._pass_on(reader, to_node)),
                asyncio.ensure_future(self._pass_on(from_node, writer, to_client=True)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            writer.transport.abort()
        finally:
            self._open.difference_update(ends)
            for end in ends:
                end.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_client: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                room = self._room(len(piece)) if to_client else len(piece)
                writer.write(piece[:room])
                await writer.drain()
                if room < len(piece):
                    self.cut()
                    return

    def _room(self, size: int) -> int:
        """Return the part of a piece that passes before the next cut."""
        if not self.cuts:
            return size
        room = self.cuts[0] - self._passed
        self._passed += size
        if room >= size:
            return size
        self.cuts.popleft()
        self._passed = 0
        return room
