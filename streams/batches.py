"""Micro-batches that adapt: at once when idle, large when there is a backlog."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 2_000
"""Items in a batch, and in the queue, at the most."""
LARGE = 64
"""A batch of so many says that there is a backlog."""
GATHER_S = 0.02
"""How long a batch is let grow once there is a backlog."""


class MicroBatches(Generic[T]):
    """A bounded queue between one producer, which waits when it is full, and one consumer of batches."""

    def __init__(self, most: int = MOST, large: int = LARGE, gather_s: float = GATHER_S) -> None:
        self._most = most
        self._large = large
        self._gather_s = gather_s
        self._items: deque[T] = deque()
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._full = asyncio.Event()
        self._last_size = 0

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item: T) -> None:
        """Add an item; waits while the queue is full."""
        while len(self._items) >= self._most:
            self._room.clear()
            await self._room.wait()
        self._items.append(item)
        self._some.set()
        if len(self._items) >= self._most:
            self._full.set()

    def wake(self) -> None:
        """Let `next` return now, empty-handed if there is nothing."""
        self._some.set()

    async def next(self, wait_s: float) -> list[T]:
        """The next batch, in order; empty if nothing came for `wait_s` seconds."""
        if not self._items:
            try:
                async with asyncio.timeout(wait_s):
                    await self._some.wait()
            except TimeoutError:
                self._last_size = 0
                return []
        if self._last_size >= self._large and len(self._items) < self._most:
            try:
                async with asyncio.timeout(self._gather_s):
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
