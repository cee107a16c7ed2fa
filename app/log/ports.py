"""The ports of the domain: protocols that the edges implement, and tests implement in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from app.log.records import RawRecord, Record
from app.log.updates import Update
from app.positions import Position

Clock = Callable[[], datetime]
"""The time now, in UTC."""


class EventLog(Protocol):
    """The log `task-events`. All records of a stream are in one partition; offsets are contiguous from 0."""

    @property
    def partitions(self) -> int:
        """The number of partitions of the log; it never changes."""

    def partition_of(self, stream: str) -> int:
        """Return the partition of a stream's records."""

    async def append(self, records: Sequence[Record], *, partition: int | None = None) -> list[Position]:
        """Append records durably, in order per stream, and return their positions.

        `partition` puts control records into the partition of the record that they refer to, whichever it is.
        Raise `Unavailable` if the log cannot be reached. Some records may then have been written
        nevertheless.
        """

    async def append_again(self, raws: Sequence[RawRecord]) -> list[Position]:
        """Append raw records again, byte for byte, to their partition; each names its origin."""

    def read(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[RawRecord]]:
        """Read the offsets `[first, end)` of a partition in batches, in order, then stop."""

    async def ends(self) -> Mapping[int, int]:
        """Return the next offset of each partition."""


class UpdateLog(Protocol):
    """The log `task-updates`, with the same partitions as `task-events`."""

    async def emit(self, updates: Sequence[Update]) -> None:
        """Write updates durably, in order per partition. Raise `Unavailable`."""
