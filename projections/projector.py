"""The projector: folds batches of the log into the read models, with exactly-once effect.

One transaction per batch moves each partition's checkpoint by compare-and-set. Of two projectors that process
the same records, one therefore commits and the other drops them. Updates are emitted after the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from app.bounds import MAX_UPDATE_BYTES
from app.errors import Undecodable, reason_of
from app.log.fold import Home, decoded
from app.log.ports import UpdateLog
from app.log.records import RawRecord, Record
from app.positions import Position
from projections.batches import Batch, Counts, by_partition, is_contiguous
from projections.fold_states import FoldStates
from projections.postgres import checkpoints
from projections.postgres.checkpoints import Checkpoint, Mismatch
from projections.postgres.database import Database, generation_of
from projections.postgres.failures import is_caused_by_record
from projections.read_models.projected import Projected, ProjectedBatch, project
from projections.read_models.registry import READ_MODELS
from projections.update_emitter import UpdateEmitter

ReadLog = Callable[[int, int, int], AsyncIterator[Sequence[RawRecord]]]
"""A reader of the offsets `[first, end)` of a partition: `EventLog.read`."""
Committed = Callable[[Batch, Sequence[Projected]], None]
"""A listener to committed batches and their projected records; it must not fail, nor block."""

log = structlog.get_logger()


class Projector:
    """The maintainer of the read models of one database. Not safe for concurrent use: one task owns it.

    With `updates=None` it emits nothing, as a rebuild requires. `home` is the fold's.
    """

    def __init__(
        self,
        database: Database,
        read_log: ReadLog,
        updates: UpdateLog | None,
        listeners: Sequence[Committed] = (),
        *,
        home: Home | None = None,
    ) -> None:
        self._database = database
        self._read_log = read_log
        self._listeners = listeners
        self._states = FoldStates(home)
        self._refused: dict[Position, str] = {}
        self.counts = Counts()
        self._emitter = UpdateEmitter(database, updates, self.counts)
        self.refilled: set[int] = set()
        """Partitions that were read directly from the log, past the delivery; the loop clears them."""

    async def project(self, batch: Batch) -> None:
        """Fold a batch, commit it and emit its updates; then everything up to the batch's end is done.

        Records that are already done are dropped, but their updates are emitted again. A gap before or inside
        the batch is read from the log first. Raise the errors of an unavailable database or log; the same
        batch may then be given again.
        """
        todo = {partition: records for partition, records in batch.items() if records}
        while todo:
            broken = [partition for partition, records in todo.items() if not is_contiguous(records)]
            if broken:
                partition = broken[0]
                await self.catch_up(partition, todo.pop(partition)[-1].position.offset + 1)
                continue
            try:
                await self._commit_and_emit(todo)
            except Mismatch:
                await self._database.follow()
                todo = await self._align(todo)
            else:
                return

    async def catch_up(self, partition: int, end: int) -> None:
        """Bring a partition to `end` by reading the log directly from its checkpoint."""
        first = (await self.checkpoints([partition]))[partition].next_offset
        if first >= end:
            return
        log.info("catching up", partition=partition, first=first, end=end)
        self.refilled.add(partition)
        emission: asyncio.Task[None] | None = None
        try:
            async for records in self._read_log(partition, first, end):
                batch = {partition: records}
                projected = await self._commit_batch(batch)
                if emission is not None:
                    await emission
                # Kafka receives these while Postgres receives the next ones.
                emission = asyncio.create_task(self._emitter.emit(batch, projected))
                self.counts.refilled += len(records)
        except Mismatch:
            # Another projector advances this partition too, or another generation is live now: someone
            # finishes the work, or we return to it.
            await self._database.follow()
            log.info("catching up stopped: the checkpoint moved", partition=partition)
        finally:
            if emission is not None:
                await emission

    async def recover(self, partitions: Sequence[int]) -> None:
        """Emit the updates that some projector committed but may not have emitted."""
        await self._emitter.recover(await self.checkpoints(partitions))

    async def settle(self) -> None:
        """Record that all updates committed by this projector are emitted; for idle moments."""
        await self._emitter.settle()

    async def checkpoints(self, partitions: Sequence[int]) -> dict[int, Checkpoint]:
        """Return the checkpoints of these partitions."""
        return await checkpoints.read(self._database.pool, partitions)

    async def _align(self, batch: Batch) -> dict[int, Sequence[RawRecord]]:
        """Return the records that remain after dropping done ones and filling gaps.

        Emit the updates of done records again, unless this projector knows that they are emitted.
        """
        left: dict[int, Sequence[RawRecord]] = {}
        for partition, checkpoint in (await self.checkpoints(list(batch))).items():
            records, next_offset = batch[partition], checkpoint.next_offset
            first, end = records[0].position.offset, records[-1].position.offset + 1
            if next_offset < first:
                await self.catch_up(partition, first)
                left[partition] = records
                continue
            done = min(next_offset, end) - first
            self.counts.already_done += done
            await self._emitter.emit_again(partition, first, first + done)
            if done < len(records):
                left[partition] = records[done:]
        return left

    async def _commit_and_emit(self, batch: Batch) -> None:
        await self._emitter.emit(batch, await self._commit_batch(batch))

    async def _commit_batch(self, batch: Batch) -> list[Projected]:
        strangers = [partition for partition in batch if partition not in self._emitter.emitted]
        if strangers:
            await self.recover(strangers)
        try:
            projected = await self._commit(batch)
        except BaseException as error:
            # It is unknown whether the commit took effect: forget the remembered states.
            self._states.forget()
            if isinstance(error, Mismatch) or not is_caused_by_record(error):
                raise
            return await self._commit_in_parts(batch, error)
        self.counts.projected += len(projected)
        for tell in self._listeners:
            tell(batch, projected)
        return projected

    async def _commit_in_parts(self, batch: Batch, error: BaseException) -> list[Projected]:
        """Find the record that made a batch fail, by bisection, and park it."""
        raws = [raw for part in batch.values() for raw in part]
        if len(raws) > 1:
            half = len(raws) // 2
            parts = [by_partition(raws[:half]), by_partition(raws[half:])]
            return [projected for part in parts for projected in await self._commit_batch(part)]
        position = raws[0].position
        if position in self._refused:
            raise error
        assert isinstance(error, Exception)
        named = {"position": str(position), "stream": raws[0].stream, "type": _type_of(raws[0])}
        log.warning("a record cannot be projected", **named, reason=reason_of(error))
        self._refused = {position: f"it cannot be projected: {reason_of(error)}"[:500]}
        return await self._commit_batch(batch)

    async def _commit(self, batch: Batch) -> list[Projected]:
        """Fold and write a batch in one transaction. Raise `Mismatch`."""
        ends = {partition: records[-1].position.offset + 1 for partition, records in batch.items()}
        firsts = {partition: records[0].position.offset for partition, records in batch.items()}
        raws = [raw for records in batch.values() for raw in records]
        records = [self._decoded(raw) for raw in raws]
        async with self._database.pool.acquire() as connection, connection.transaction():
            generation = generation_of(connection)
            await checkpoints.advance(connection, generation, firsts, ends, self._emitter.emitted)
            fold = await self._states.fold_for(connection, generation, firsts, raws, records)
            tells = self._emitter.emits
            outcome = [
                project(fold.apply(raw, record), tells=tells)
                for raw, record in zip(raws, records, strict=True)
            ]
            _check_sizes(outcome)
            projected = ProjectedBatch(outcome, fold.held)
            for read_model in READ_MODELS:
                await read_model.write(connection, projected)
            self.counts.parked += sum(each.folded.outcome == "parked" for each in outcome)
        self._states.committed(ends)
        return outcome

    def _decoded(self, raw: RawRecord) -> Record | Undecodable:
        if raw.position in self._refused:
            return Undecodable(self._refused[raw.position])
        return decoded(raw)


def _type_of(raw: RawRecord) -> str | None:
    """Return the type that the headers of a record name."""
    types = (value.decode(errors="replace") for name, value in raw.headers if name == "ce_type" and value)
    return next(types, None)


def _check_sizes(batch: Sequence[Projected]) -> None:
    """Check that each update fits a message, as the bounds of events ensure. Raise `Undecodable`."""
    largest = max((each.size_bytes for each in batch), default=0)
    if largest > MAX_UPDATE_BYTES:
        raise Undecodable(f"its update would have {largest} bytes, and has at most {MAX_UPDATE_BYTES}")
