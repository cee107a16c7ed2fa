"""Adaptive micro-batches: immediate when idle, the larger the more records arrive."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 2_000
"""The maximal number of items in a batch, and in the queue."""
BUSY = 4
"""The batch size from which on the next batch may grow. Few commands may depend on each other."""
GATHER_S = 0.0005
"""The time for which a batch may grow for each item of the last batch, as a batch has a fixed cost."""
GATHER_MOST_S = 0.004
"""The longest of these times. With 64 commands at once, 20 ms would cost a third of their rate."""
BACKLOG = 100
"""The batch size from which on there is a backlog, for which no command waits."""
GATHER_BACKLOG_S = 0.02
"""The time for which a batch of a backlog may grow."""


class MicroBatches(Generic[T]):
    """A bounded queue between one producer, which waits while it is full, and one consumer of batches."""

    def __init__(
        self,
        most: int = MOST,
        busy: int = BUSY,
        gather_s: float = GATHER_S,
        gather_most_s: float = GATHER_MOST_S,
    ) -> None:
        self._most = most
        self._busy = busy
        self._gather_s = gather_s
        self._gather_most_s = gather_most_s
        self._items: deque[T] = deque()
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._full = asyncio.Event()
        self._last_size = 0

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item: T) -> None:
        """Add an item; wait while the queue is full."""
        while len(self._items) >= self._most:
            self._room.clear()
            await self._room.wait()
        self._items.append(item)
        self._some.set()
        if len(self._items) >= self._most:
            self._full.set()

    def wake(self) -> None:
        """Make `next` return now, with an empty batch if there are no items."""
        self._some.set()

    async def next(self, wait_s: float) -> list[T]:
        """Return the next batch, in order; empty if nothing arrived within `wait_s` seconds."""
        if not self._items:
            try:
                async with asyncio.timeout(wait_s):
                    await self._some.wait()
            except TimeoutError:
                self._last_size = 0
                return []
        if self._last_size >= self._busy and len(self._items) < self._most:
            try:
                async with asyncio.timeout(self._gather_time_s()):
                    await self._full.wait()
            except TimeoutError:
                pass
        batch = list(self._items)
        self._items.clear()
        self._some.clear()
        self._full.clear()
        self._room.set()
        self._last_size = len(batch)
        return batch

    def _gather_time_s(self) -> float:
        if self._last_size >= BACKLOG:
            return GATHER_BACKLOG_S
        return min(self._last_size * self._gather_s, self._gather_most_s)
