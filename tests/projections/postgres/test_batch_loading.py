"""Loading by key, batched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from projections.postgres.batch_loading import AT_ONCE, BatchLoader


class Rows:
    """A query that takes until `finish` is called."""

    def __init__(self) -> None:
        self.queries: list[Sequence[str]] = []
        self._gate = asyncio.Event()

    async def query(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.queries.append(keys)
        await self._gate.wait()
        if "broken" in keys:
            raise ConnectionError
        return {key: key.upper() for key in keys}

    def finish(self) -> None:
        self._gate.set()


async def started(*keys: str, loader: BatchLoader[str, str]) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(loader.load(key)) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_concurrent_calls_share_a_query() -> None:
    rows = Rows()
    tasks = await started("a", "b", "a", loader=BatchLoader(rows.query))
    rows.finish()
    assert await asyncio.gather(*tasks) == ["A", "B", "A"]
    assert rows.queries == [["a", "b"]]


async def test_calls_during_a_query_share_the_next_one() -> None:
    """None gets the result of a query that began before its call."""
    rows = Rows()
    loader = BatchLoader(rows.query)
    tasks = [task for _ in range(AT_ONCE) for task in await started("a", loader=loader)]
    tasks += await started("a", "b", loader=loader)
    tasks += await started("c", loader=loader)
    assert rows.queries == [["a"]] * AT_ONCE
    rows.finish()
    assert await asyncio.gather(*tasks) == [*["A"] * AT_ONCE, "A", "B", "C"]
    assert rows.queries[AT_ONCE:] == [["a", "b", "c"]]


async def test_an_error_reaches_the_callers_of_its_query_only() -> None:
    rows = Rows()
    loader = BatchLoader(rows.query)
    broken = [task for _ in range(AT_ONCE) for task in await started("broken", loader=loader)]
    [later] = await started("a", loader=loader)
    rows.finish()
    assert await later == "A"
    for task in broken:
        with pytest.raises(ConnectionError):
            await task


async def test_cancelled_call_does_not_affect_others() -> None:
    rows = Rows()
    first, second = await started("a", "a", loader=BatchLoader(rows.query))
    first.cancel()
    rows.finish()
    assert await second == "A"


async def test_call_right_after_the_last_query_is_loaded() -> None:
    """A runner that has just ended does not count."""
    rows = Rows()
    rows.finish()
    loader = BatchLoader(rows.query)
    for _ in range(1000):
        assert await asyncio.wait_for(loader.load("a"), 5) == "A"
        await asyncio.gather(*(loader.load(key) for key in "abc"))
