"""Results that take long to compute: they answer the same question again for a multiple of that time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

R = TypeVar("R")

MOST_KEPT = 8
"""The number of results that are kept, the newest ones: each may have a megabyte."""
KEPT_TIMES = 4
"""A result is kept for so many times the time that it took: at most a fifth of the time is spent on it."""


class CostlyResults(Generic[R]):
    """The results of costly questions, by question; `at_once` results are computed at the same time."""

    def __init__(self, at_once: int, clock: Callable[[], float] = monotonic) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, R]] = {}

    async def answer(self, question: Hashable, compute: Callable[[], Awaitable[tuple[R, bool]]]) -> R:
        """Return a kept result, or compute it; `compute` also returns whether it was costly."""
        if kept := self._find(question):
            return kept
        async with self._turns:
            if kept := self._find(question):
                return kept
            began_s = self._clock()
            result, is_costly = await compute()
            if is_costly:
                self._keep(question, result, self._clock() - began_s)
            return result

    def _find(self, question: Hashable) -> R | None:
        until_s, result = self._kept.get(question, (0.0, None))
        return result if self._clock() < until_s else None

    def _keep(self, question: Hashable, result: R, took_s: float) -> None:
        self._kept.pop(question, None)
        self._kept[question] = self._clock() + KEPT_TIMES * took_s, result
        while len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
