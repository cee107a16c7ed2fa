"""Who is connected to this node, by whichever transport, and how all of them are sent away when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, get_args

import anyio

from api.protocol.close_codes import RESTARTING, CloseReason
from api.telemetry.counters import Transport

TRANSPORTS: tuple[Transport, ...] = get_args(Transport)
BATCH_EVERY_S = 0.1
GONE_S = 4.0
"""So long the last ones have to go."""


class ClientConnection(Protocol):
    """One open connection."""

    @property
    def transport(self) -> Transport:
        """How it came in."""

    @property
    def user(self) -> str | None:
        """Whom it speaks for, once that is known."""

    @property
    def waiting_bytes(self) -> int:
        """What it was given and has not taken yet."""

    def close(self, close_reason: CloseReason | None) -> None:
        """Begin to end it; never waits."""


class ConnectionRegistry:
    """All open connections of a node."""

    def __init__(self) -> None:
        self._present: dict[ClientConnection, None] = {}
        self._left = asyncio.Event()
        self.draining = False
        """Whether the node stops: who comes now is sent away."""

    def __len__(self) -> int:
        return len(self._present)

    def __iter__(self) -> Iterator[ClientConnection]:
        return iter(list(self._present))

    def waiting_bytes(self, transport: Transport) -> int:
        """What all who came in by a transport have not taken yet."""
        return sum(each.waiting_bytes for each in self._present if each.transport == transport)

    def add(self, visitor: ClientConnection) -> None:
        """Take in one that has come; it is sent away at once when the node stops."""
        self._present[visitor] = None
        if self.draining:
            visitor.close(RESTARTING)

    def discard(self, visitor: ClientConnection) -> None:
        """Forget one that is gone."""
        self._present.pop(visitor, None)
        self._left.set()

    @contextmanager
    def present(self, visitor: ClientConnection) -> Iterator[None]:
        """Count a connection in while the block lasts."""
        self.add(visitor)
        try:
            yield
        finally:
            self.discard(visitor)

    async def drain(self, over_s: float = 0.0) -> None:
        """Say goodbye to everyone, in batches over a time, and wait, bounded, until they are gone.

        So those that come back do not all come to the other nodes at once.
        """
        self.draining = True
        visitors = list(self._present)
        batches = max(1, round(over_s / BATCH_EVERY_S))
        size = -(-len(visitors) // batches) or 1
        for start in range(0, len(visitors), size):
            if start:
                await asyncio.sleep(BATCH_EVERY_S)
            for visitor in visitors[start : start + size]:
                visitor.close(RESTARTING)
        with anyio.move_on_after(GONE_S):
            while self._present.keys() & set(visitors):
                self._left.clear()
                await self._left.wait()
