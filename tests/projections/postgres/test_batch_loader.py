"""Batched loading: one query for many requests, never one that began before a request."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from projections.postgres.batch_loader import MAX_KEYS_AT_ONCE, QUERIES_AT_ONCE, BatchLoader
from tests.waiting import LIMIT_S


class Store:
    """Values that may change between loads, which continue when a test lets them."""

    def __init__(self) -> None:
        self.version = 0
        self.loads: list[list[int]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def load(self, keys: Collection[int]) -> dict[int, tuple[int, int]]:
        self.loads.append(sorted(keys))
        values = {key: (key, self.version) for key in keys if key >= 0}
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return values


async def ask(
    values: BatchLoader[int, tuple[int, int]], *keys: int
) -> list[asyncio.Task[tuple[int, int] | None]]:
    tasks = [asyncio.create_task(values.load(key)) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_requests_during_the_queries_share_the_next_one() -> None:
    """With values as of after the requests."""
    store = Store()
    values = BatchLoader(store.load)
    first = [task for _ in range(QUERIES_AT_ONCE) for task in await ask(values, 1)]
    store.version = 1
    others = await ask(values, 1, 2, 1, -1)
    store.gate.set()
    assert await asyncio.gather(*first) == [(1, 0)] * QUERIES_AT_ONCE
    assert await asyncio.gather(*others) == [(1, 1), (2, 1), (1, 1), None]
    assert store.loads == [*[[1]] * QUERIES_AT_ONCE, [-1, 1, 2]]
    assert await values.load(3) == (3, 1)


async def test_requests_at_the_same_time_share_a_query() -> None:
    store = Store()
    tasks = await ask(BatchLoader(store.load), 1, 2, 1)
    store.gate.set()
    assert await asyncio.gather(*tasks) == [(1, 0), (2, 0), (1, 0)]
    assert store.loads == [[1, 2]]


async def test_request_right_after_the_last_query_is_loaded() -> None:
    """A runner that has just ended does not count."""
    store = Store()
    store.gate.set()
    values = BatchLoader(store.load)
    for _ in range(1000):
        assert await asyncio.wait_for(values.load(1), LIMIT_S) == (1, 0)
        await asyncio.gather(*(values.load(key) for key in range(3)))


async def test_failure_is_raised_in_waiting_requests_only() -> None:
    """The next load continues."""
    store = Store()
    values = BatchLoader(store.load)
    failing = await ask(values, 1, 2)
    store.error = ConnectionError("away")
    store.gate.set()
    for task in failing:
        with pytest.raises(ConnectionError):
            await task
    store.error = None
    assert await values.load(1) == (1, 0)


async def test_cancelled_request_does_not_affect_others() -> None:
    """Of the same key."""
    store = Store()
    values = BatchLoader(store.load)
    impatient, patient = await ask(values, 1, 1)
    impatient.cancel()
    store.gate.set()
    assert await patient == (1, 0)
    assert impatient.cancelled()


async def test_load_is_bounded() -> None:
    """The rest is in the next one."""
    store = Store()
    store.gate.set()
    values = BatchLoader(store.load)
    keys = range(MAX_KEYS_AT_ONCE + 1)
    assert len(await asyncio.gather(*(values.load(key) for key in keys))) == len(keys)
    assert [len(load) for load in store.loads] == [MAX_KEYS_AT_ONCE, 1]
