"""Coalescing: one load for many questions, never one that began before a question."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from projections.postgres.batch_loader import MAX_KEYS_AT_ONCE, Coalesced


class Store:
    """Values that may change between loads, which go on when they are told to."""

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


async def test_those_who_ask_during_a_load_get_the_next_one() -> None:
    """All of them together, and what is true after they asked."""
    store = Store()
    values = Coalesced(store.load)
    first = await ask(values, 1)
    store.version = 1
    others = await ask(values, 1, 2, 1, -1)
    store.gate.set()
    assert await asyncio.gather(*first, *others) == [(1, 0), (1, 1), (2, 1), (1, 1), None]
    assert store.loads == [[1], [-1, 1, 2]]
    assert await values.get(3) == (3, 1)


async def test_a_failure_is_told_to_all_who_waited_and_to_nobody_else() -> None:
    """The next load goes on."""
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


async def test_who_gives_up_takes_nothing_from_others() -> None:
    """They asked for the same."""
    store = Store()
    values = Coalesced(store.load)
    impatient, patient = await ask(values, 1, 1)
    impatient.cancel()
    store.gate.set()
    assert await patient == (1, 0)
    assert impatient.cancelled()


async def test_a_load_is_bounded() -> None:
    """What is too much for one comes with the next."""
    store = Store()
    store.gate.set()
    values = Coalesced(store.load)
    keys = range(MAX_KEYS_AT_ONCE + 1)
    assert len(await asyncio.gather(*(values.get(key) for key in keys))) == len(keys)
    assert [len(load) for load in store.loads] == [MAX_KEYS_AT_ONCE, 1]
