"""Concurrent actions, within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def concurrently(
    action: Callable[[Item], Awaitable[Result]], items: Iterable[Item], at_once: int
) -> list[Result]:
    """Return the results of an action on each of some items, in their order, at most `at_once` concurrently.

    All are carried out, even if one fails. Then raise the first error.
    """
    limit = asyncio.Semaphore(at_once)

    async def act(item: Item) -> Result:
        async with limit:
            return await action(item)

    results: list[Result] = []
    for each in await asyncio.gather(*map(act, items), return_exceptions=True):
        if isinstance(each, BaseException):
            raise each
        results.append(each)
    return results
