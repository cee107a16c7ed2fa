"""Following: after a load, a projector folds the records that were written meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from app.log.records import RawRecord
from projections.postgres.database import Database
from projections.projector import Projector

FINISH_MOST = 5_000
"""Projectors wait for at most so many records at a swap."""


class TooFar(Exception):
    """Error if too much was projected in the last moment for a swap."""


class LogReader(Protocol):
    """The part of `app.log.ports.EventLog` that a rebuild needs."""

    def partition_of(self, stream: str) -> int:
        """See `app.log.ports.EventLog.partition_of`."""

    def read(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[RawRecord]]:
        """See `app.log.ports.EventLog.read`."""


class Follower:
    """The projector of one generation that is not live: it emits nothing, and can be stopped at any time."""

    def __init__(
        self, database: Database, event_log: LogReader, count: Callable[[int], None] = lambda _: None
    ) -> None:
        self._projector = Projector(
            database,
            event_log.read,
            updates=None,
            listeners=[lambda _, projected: count(len(projected))],
            home=event_log.partition_of,
        )

    async def up_to(self, ends: Mapping[int, int]) -> None:
        """Fold up to these offsets."""
        for partition, end in ends.items():
            await self._projector.catch_up(partition, end)

    async def finish(self, ends: Mapping[int, int]) -> None:
        """Fold the last records up to these offsets, while projectors wait. Raise `TooFar` for many."""
        reached = await self._projector.checkpoints(sorted(ends))
        if sum(end - reached[partition].next_offset for partition, end in ends.items()) > FINISH_MOST:
            raise TooFar
        await self.up_to(ends)

    async def settle(self, partitions: Sequence[int]) -> None:
        """Note that the updates of everything that was folded are emitted."""
        await self._projector.recover(partitions)
        await self._projector.settle()
