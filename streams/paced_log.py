"""The log, read at a limited rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from app.log.records import RawRecord
from streams.event_log import KafkaEventLog


class PacedLog:
    """A reader of the log that returns at most `per_s` records a second; None is no limit."""

    def __init__(self, event_log: KafkaEventLog, per_s: float | None) -> None:
        self._event_log = event_log
        self._per_s = per_s
        self._next_s = 0.0

    def partition_of(self, stream: str) -> int:
        """See `app.log.ports.EventLog.partition_of`."""
        return self._event_log.partition_of(stream)

    async def ends(self) -> Mapping[int, int]:
        """See `app.log.ports.EventLog.ends`."""
        return await self._event_log.ends()

    async def read(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[RawRecord]]:
        """See `app.log.ports.EventLog.read`."""
        async for records in self._event_log.read(partition, first, end):
            if self._per_s is not None:
                now_s = time.monotonic()
                await asyncio.sleep(self._next_s - now_s)
                self._next_s = max(self._next_s, now_s) + len(records) / self._per_s
            yield records
