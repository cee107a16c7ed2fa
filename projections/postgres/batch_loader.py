"""Batched loading by key: requests that arrive while a query runs share the next one (a data loader)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MAX_KEYS_AT_ONCE = 500
QUERIES_AT_ONCE = 2
"""The most queries at the same time: one that hangs must not stop all loading."""


class BatchLoader(Generic[K, V]):
    """A loader of values by key, many at a time: requests during a query form the next batch.

    A value is therefore never older than its request. An error of a query is raised to all who wait for it.
    """

    def __init__(self, query: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._query = query
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def load(self, key: K) -> V | None:
        """Return the value of a key, or None if there is none. Raise the errors of the query."""
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if len(self._running) < QUERIES_AT_ONCE:
            self._running.add(asyncio.create_task(self._run()))
        return await future

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while self._waiting:
                keys = list(self._waiting)[:MAX_KEYS_AT_ONCE]
                await self._answer({key: self._waiting.pop(key) for key in keys})
        finally:
            # Not in a callback of the task, which runs later: a request in between would wait for nobody.
            self._running.discard(task)

    async def _answer(self, asked: Mapping[K, list[asyncio.Future[V | None]]]) -> None:
        try:
            found = await self._query(list(asked))
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
