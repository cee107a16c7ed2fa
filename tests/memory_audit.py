"""The audit in memory, as nodes query it: `tests/projections/queries/test_missed_updates.py` tests it too."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from app.errors import Unavailable
from app.log.updates import Update
from app.positions import Position, Positions


@dataclass
class MemoryAudit:
    """An `api.relay.context.History` and `api.relay.feed.Audit` of updates, which are always complete."""

    partitions: int
    updates: list[Update] = field(default_factory=list)
    query_ticks: int = 0
    """Number of rounds of the event loop that a query takes."""
    lost: dict[int, int] = field(default_factory=dict)
    """Partition → number of its last rows that a crash of the database has lost."""
    is_away: bool = False

    def next_position(self, partition: int) -> Position:
        """Return the position of the next record of a partition."""
        return Position(partition, len(self.of_partition(partition)))

    def commit(self, update: Update) -> Update:
        """Write an update's row."""
        assert update.position == self.next_position(update.position.partition)
        self.updates.append(update)
        return update

    def of_partition(self, partition: int) -> list[Update]:
        """Return the updates of a partition, in order."""
        return [each for each in self.updates if each.position.partition == partition]

    def has_row(self, position: Position) -> bool:
        """Return whether the row at a position exists, and is not lost."""
        return position.offset < self._end(position.partition)

    async def missed(
        self, channels: Collection[str], since: Positions, upto: Positions, limit: int
    ) -> list[Update] | None:
        """See `api.relay.context.History`."""
        await self.query()
        if not all(self.has_row(Position(*place)) for place in upto.items()):
            raise Unavailable("the read models are behind what was relayed")
        found = [
            update
            for update in self.updates
            if since.get(update.position.partition, -1) < update.position.offset
            and update.position.offset <= upto.get(update.position.partition, -1)
            and set(update.channels) & set(channels)
        ]
        await self.query()
        return None if len(found) > limit else sorted(found, key=lambda update: update.position)

    async def reached(self) -> dict[int, int]:
        """See `api.relay.feed.Audit`."""
        reached = self.ends()
        await self.query()
        return reached

    async def between(self, partition: int, first: int, end: int, limit: int) -> list[Update]:
        """See `api.relay.feed.Audit`."""
        self._check()
        return self.of_partition(partition)[first : min(end, self._end(partition))][:limit]

    async def log_ends(self) -> dict[int, int]:
        """Return the ends of the log: of all rows ever written."""
        return {partition: self.next_position(partition).offset for partition in range(self.partitions)}

    async def query(self) -> None:
        """Take the time of a query. Raise `Unavailable` while the database is away."""
        for _ in range(self.query_ticks):
            await asyncio.sleep(0)
        self._check()

    def ends(self) -> dict[int, int]:
        """Return partition → the offset after its last row."""
        return {partition: self._end(partition) for partition in range(self.partitions)}

    def _check(self) -> None:
        if self.is_away:
            raise Unavailable("the database is unavailable")

    def _end(self, partition: int) -> int:
        return self.next_position(partition).offset - self.lost.get(partition, 0)
