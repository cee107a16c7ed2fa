"""Coalescing of loads: one load for many requests, never one that began before a request."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from projections.postgres.batch_loader import MAX_KEYS_AT_ONCE, Coalesced


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
    values: Coalesced[int, tuple[int, int]], *keys: int
) -> list[asyncio.Task[tuple[int, int] | None]]:
    tasks = [asyncio.create_task(values.get(key)) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_requests_during_a_load_share_the_next_one() -> None:
    """With values as of after the requests."""
    store = Store()
    values = Coalesced(store.load)
    first = await ask(values, 1)
    store.version = 1
    others = await ask(values, 1, 2, 1, -1)
    store.gate.set()
    assert await asyncio.gather(*first, *others) == [(1, 0), (1, 1), (2, 1), (1, 1), None]
    assert store.loads == [[1], [-1, 1, 2]]
    assert await values.get(3) == (3, 1)


async def test_failure_is_raised_in_waiting_requests_only() -> None:
    """The next load continues."""
    store = Store()
    values = Coalesced(store.load)
    failing = await ask(values, 1, 2)
    store.error = ConnectionError("away")
    store.gate.set()
    for task in failing:
        with pytest.raises(ConnectionError):
            await task
    store.error = None
    assert await values.get(1) == (1, 0)


async def test_cancelled_request_does_not_affect_others() -> None:
    """Of the same key."""
    store = Store()
    values = Coalesced(store.load)
    impatient, patient = await ask(values, 1, 1)
    impatient.cancel()
    store.gate.set()
    assert await patient == (1, 0)
    assert impatient.cancelled()


async def test_load_is_bounded() -> None:
    """The rest is in the next one."""
    store = Store()
    store.gate.set()
    values = Coalesced(store.load)
    keys = range(MAX_KEYS_AT_ONCE + 1)
    assert len(await asyncio.gather(*(values.get(key) for key in keys))) == len(keys)
    assert [len(load) for load in store.loads] == [MAX_KEYS_AT_ONCE, 1]
