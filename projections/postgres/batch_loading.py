"""Loading by key, batched: calls that arrive while a query runs share the next one (a data loader)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")

AT_ONCE = 2
"""The most queries at the same time: one that hangs must not stop all loading."""


class BatchLoader(Generic[K, V]):
    """Loads values by key. A value is always as of a time after the call."""

    def __init__(self, query: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        """Create a loader; `query` returns a value for every key."""
        self._query = query
        self._waiting: dict[K, list[asyncio.Future[V]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def load(self, key: K) -> V:
        """Return the value of a key. Raise the errors of the query."""
        found: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(found)
        if len(self._running) < AT_ONCE:
            self._running.add(asyncio.create_task(self._run()))
        return await found

    async def _run(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                await self._load(waiting)
        finally:
            # Not when the task is done: nobody would load for a call in between.
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _load(self, waiting: Mapping[K, Sequence[asyncio.Future[V]]]) -> None:
        try:
            values = await self._query(list(waiting))
        except Exception as error:  # noqa: BLE001  # each caller raises it
            for found in _unfinished(waiting.values()):
                found.set_exception(error)
        else:
            for key, futures in waiting.items():
                for found in _unfinished([futures]):
                    found.set_result(values[key])


def _unfinished(waiting: Iterable[Sequence[asyncio.Future[V]]]) -> Iterator[asyncio.Future[V]]:
    """Yield the futures of the callers who have not given up."""
    return (found for futures in waiting for found in futures if not found.done())
