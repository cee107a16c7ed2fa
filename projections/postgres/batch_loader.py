"""Coalescing: concurrent requests for values are answered by one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MAX_KEYS_AT_ONCE = 500


class Coalesced(Generic[K, V]):
    """A loader of values by key, many at a time: requests during a load form the next batch.

    A value is therefore never older than its request. An error of a load is raised to all who wait for it.
    """

    def __init__(self, load: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._load = load
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._running: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """Return the value of a key, or None if there is none."""
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[:MAX_KEYS_AT_ONCE]
                await self._answer({key: self._waiting.pop(key) for key in keys})
        finally:
            self._running = None

    async def _answer(self, asked: Mapping[K, list[asyncio.Future[V | None]]]) -> None:
        try:
            found = await self._load(asked)
        except BaseException as error:
            for future in (each for waiting in asked.values() for each in waiting):
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # The caller may be gone; then nobody reads the exception.
            if not isinstance(error, Exception):
                raise
            return
        for key, waiting in asked.items():
            for future in waiting:
                if not future.done():
                    future.set_result(found.get(key))
