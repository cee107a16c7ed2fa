"""The emission of updates: after the commit, in order, and again after a crash between the two.

The emitted offset of each partition is kept in its checkpoint, so that the next projector emits what a
crashed one did not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from app.log.ports import UpdateLog
from app.positions import Position
from projections.batches import Batch, Counts
from projections.postgres import checkpoints
from projections.postgres.checkpoints import Checkpoint
from projections.postgres.database import Database, generation_of
from projections.read_models import audit_rows
from projections.read_models.projected import Projected

REEMIT_AT_ONCE = 1000


class UpdateEmitter:
    """The emitter of one projector's updates; with `updates=None` it emits nothing."""

    def __init__(self, database: Database, updates: UpdateLog | None, counts: Counts) -> None:
        self._database = database
        self._updates = updates
        self._counts = counts
        self._settled: dict[int, int] = {}
        self.emitted: dict[int, int] = {}
        """Partition → the offset below which all updates are emitted, as far as this projector knows."""

    @property
    def emits(self) -> bool:
        """True if there is a log of updates."""
        return self._updates is not None

    async def emit(self, batch: Batch, projected: Sequence[Projected]) -> None:
        """Emit the updates of a committed batch, and those that precede it and are not out yet."""
        for partition, records in batch.items():
            # A projector that died before emitting committed what precedes, or our emitting failed.
            await self._emit_from_audit(partition, self.emitted[partition], records[0].position.offset)
        if self._updates is not None:
            changed = await self._last_changes({list_id for each in projected for list_id in each.lists})
            await self._updates.emit([each.update(changed) for each in projected])
        for partition, records in batch.items():
            self.emitted[partition] = records[-1].position.offset + 1

    async def emit_again(self, partition: int, first: int, end: int) -> None:
        """Emit the updates of the done records `[first, end)` again, unless they are known to be emitted."""
        if self.emitted.get(partition, 0) < end:
            self.emitted.pop(partition, None)
            await self._emit_from_audit(partition, first, end)

    async def recover(self, found: Mapping[int, Checkpoint]) -> None:
        """Emit the updates that some projector committed but may not have emitted."""
        for partition, checkpoint in found.items():
            known = max(checkpoint.emitted_offset, self.emitted.get(partition, 0))
            await self._emit_from_audit(partition, known, checkpoint.next_offset)
            self.emitted[partition] = checkpoint.next_offset

    async def settle(self) -> None:
        """Record in the checkpoints which updates are emitted."""
        news = dict(self.emitted.items() - self._settled.items())
        if not news:
            return
        async with self._database.pool.acquire() as connection:
            noted = await checkpoints.note_emitted(connection, generation_of(connection), news)
        self._settled |= {partition: news[partition] for partition in noted}
        if len(noted) < len(news):
            # Most likely after a swap; the next call records the rest in the generation that is live now.
            await self._database.follow()

    async def _last_changes(self, list_ids: Collection[str]) -> dict[str, Position]:
        """Return the committed positions at which lists last changed, which include all before a batch."""
        if not list_ids:
            return {}
        async with self._database.pool.acquire() as connection:
            return await audit_rows.last_changes(connection, list_ids)

    async def _emit_from_audit(self, partition: int, first: int, end: int) -> None:
        if self._updates is None:
            return
        while first < end:
            async with self._database.pool.acquire() as connection:
                updates = await audit_rows.updates_between(
                    connection, partition, first, end, limit=REEMIT_AT_ONCE
                )
            if not updates:
                return
            await self._updates.emit(updates)
            self._counts.emitted_again += len(updates)
            first = updates[-1].position.offset + 1
