"""What the product needs of the outside: protocols, implemented at the edges and in memory for tests."""

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
    """The log `task-events`. Records of one stream are in one partition; offsets are contiguous from 0."""

    @property
    def partitions(self) -> int:
        """How many partitions the log has; fixed for its life."""

    def partition_of(self, stream: str) -> int:
        """The partition that a stream's records are in."""

    async def append(self, records: Sequence[Record], *, partition: int | None = None) -> list[Position]:
        """Write records, in order per stream, durably; returns their positions.

        `partition` puts control records beside the record that they are about, wherever that lies.
        Raises `Unavailable` when the log can't be reached: then some may have been written all the same.
        """

    async def append_again(self, raws: Sequence[RawRecord]) -> list[Position]:
        """Write raw records again, byte for byte, into their own partition, each naming its origin."""

    def read(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[RawRecord]]:
        """Read the offsets `[first, end)` of a partition in batches, in order, and stop."""

    async def ends(self) -> Mapping[int, int]:
        """Partition → the offset that its next record will get."""


class UpdateLog(Protocol):
    """The log `task-updates`, partitioned as `task-events` is."""

    async def emit(self, updates: Sequence[Update]) -> None:
        """Write updates durably, in order per partition. Raises `Unavailable`."""
