"""The registry of this node's connections on all transports, and closing them when the node stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol, get_args

import anyio

from api.protocol.close_codes import RESTARTING, CloseReason
from api.telemetry.counters import Transport

TRANSPORTS: tuple[Transport, ...] = get_args(Transport)
BATCH_EVERY_S = 0.1
CLOSE_S = 4.0
"""The time in which the last connections must close."""


class ClientConnection(Protocol):
    """One open connection."""

    @property
    def transport(self) -> Transport:
        """Return its transport."""

    @property
    def user(self) -> str | None:
        """Return its user, once authenticated."""

    @property
    def waiting_bytes(self) -> int:
        """Return the number of bytes that it was sent and has not accepted yet."""

    def close(self, close_reason: CloseReason | None) -> None:
        """Start to close it; never wait."""


class Registration:
    """A context in which a connection is registered. A generator would take a kilobyte of each connection."""

    __slots__ = ("_connection", "_registry")

    def __init__(self, registry: ConnectionRegistry, connection: ClientConnection) -> None:
        self._registry = registry
        self._connection = connection

    def __enter__(self) -> None:
        self._registry.add(self._connection)

    def __exit__(self, *_: object) -> None:
        self._registry.discard(self._connection)


class ConnectionRegistry:
    """All open connections of a node."""

    def __init__(self) -> None:
        self._present: dict[ClientConnection, None] = {}
        self._left = asyncio.Event()
        self.draining = False
        """True while the node stops: new connections are closed."""

    def __len__(self) -> int:
        return len(self._present)

    def __iter__(self) -> Iterator[ClientConnection]:
        return iter(list(self._present))

    def waiting_bytes(self, transport: Transport) -> int:
        """Return the number of bytes waiting in all connections of a transport."""
        return sum(each.waiting_bytes for each in self._present if each.transport == transport)

    def add(self, connection: ClientConnection) -> None:
        """Add a connection; close it at once when the node stops."""
        self._present[connection] = None
        if self.draining:
            connection.close(RESTARTING)

    def discard(self, connection: ClientConnection) -> None:
        """Remove a closed connection."""
        self._present.pop(connection, None)
        self._left.set()

    def present(self, connection: ClientConnection) -> Registration:
        """Register a connection for the duration of a `with` block."""
        return Registration(self, connection)

    async def drain(self, over_s: float = 0.0) -> None:
        """Close all connections, in batches over a time, and wait, within a limit, until they are gone.

        So reconnecting clients do not reach the other nodes all at once.
        """
        self.draining = True
        connections = list(self._present)
        batches = max(1, round(over_s / BATCH_EVERY_S))
        size = -(-len(connections) // batches) or 1
        for start in range(0, len(connections), size):
            if start:
                await asyncio.sleep(BATCH_EVERY_S)
            for connection in connections[start : start + size]:
                connection.close(RESTARTING)
        with anyio.move_on_after(CLOSE_S):
            while self._present.keys() & set(connections):
                self._left.clear()
                await self._left.wait()
