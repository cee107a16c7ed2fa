"""The turns of all replays of a node: one at a time, with a rest after each while others wait."""

from __future__ import annotations

import asyncio
from time import perf_counter

from api.telemetry.counters import Counters

MAX_REST = 9
"""A rest is as many times as long as its turn, at most: then replays take a tenth of the time."""
LONGEST_REST_S = 0.05


class Turns:
    """A lock that is held for a turn and the rest after it. The more wait for it, the longer is the rest.

    So a single replay is as fast as its reader, and many together leave the processor to live updates.
    """

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        """Counts the updates of replays too, as deliveries."""
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._began_s = 0.0

    async def __aenter__(self) -> None:
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        self._began_s = perf_counter()

    async def __aexit__(self, *_: object) -> None:
        took_s = perf_counter() - self._began_s
        try:
            await asyncio.sleep(min(took_s * min(self._waiting, MAX_REST), LONGEST_REST_S))
        finally:
            self._lock.release()
