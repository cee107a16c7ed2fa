"""The projector: folds batches of the log into the read models, with exactly-once effect.

One transaction per batch moves each partition's checkpoint by compare-and-set. Of two projectors that process
the same records, one therefore commits and the other drops them. Updates are emitted after the commit. The
emitted offset is kept in the checkpoint, so that the next projector emits what a crashed one did not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from app.bounds import MAX_UPDATE_BYTES
from app.errors import Undecodable
from app.log.fold import Fold, Home, State, decoded
from app.log.ports import UpdateLog
from app.log.records import RawRecord, Record, reason_of
from app.positions import Position
from projections.postgres import checkpoints
from projections.postgres.checkpoints import Checkpoint, Mismatch
from projections.postgres.connections import Connection
from projections.postgres.database import Database
from projections.postgres.failures import is_caused_by_record
from projections.read_models import (
    audit,
    comments,
    dead_letters,
    lists,
    notifications,
    reminders,
    tasks,
    users,
)
from projections.read_models import search_index as search
from projections.read_models.projected import Projected, project
from projections.read_models.stream_states import load_streams

ReadLog = Callable[[int, int, int], AsyncIterator[Sequence[RawRecord]]]
"""A reader of the offsets `[first, end)` of a partition: `EventLog.read`."""
Batch = Mapping[int, Sequence[RawRecord]]
"""Partition → records with ascending offsets."""
Committed = Callable[[Batch, Sequence[Projected]], None]
"""A listener to committed batches and their projected records; it must not fail, nor block."""

log = structlog.get_logger()

REEMIT_AT_ONCE = 1000
STATES_KEPT = 20_000


@dataclass(slots=True)
class Counts:
    """Counters of a projector, for metrics and logs; all in records."""

    projected: int = 0
    parked: int = 0
    already_done: int = 0
    refilled: int = 0
    emitted_again: int = 0


@dataclass(slots=True)
class _Memory:
    """The states of streams after this projector's commits: valid while nobody else moves the checkpoints."""

    next_offsets: dict[int, int] = field(default_factory=dict)
    states: dict[str, State | None] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)


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
        self._updates = updates
        self._listeners = listeners
        self._home = home
        self._memory = _Memory()
        # Partition → the offset below which all updates are emitted, as far as this projector knows.
        self._emitted: dict[int, int] = {}
        self._settled: dict[int, int] = {}
        self._refused: dict[Position, str] = {}
        self.counts = Counts()
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
            broken = [partition for partition, records in todo.items() if not _contiguous(records)]
            if broken:
                partition = broken[0]
                await self.catch_up(partition, todo.pop(partition)[-1].position.offset + 1)
                continue
            try:
                await self._commit_and_emit(todo)
            except Mismatch:
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
                emission = asyncio.create_task(self._emit(batch, projected))
                self.counts.refilled += len(records)
        except Mismatch:
            # Another projector advances this partition too; it finishes the work, or we return to it.
            log.info("catching up stopped: the checkpoint moved", partition=partition)
        finally:
            if emission is not None:
                await emission

    async def recover(self, partitions: Sequence[int]) -> None:
        """Emit the updates that some projector committed but may not have emitted."""
        for partition, checkpoint in (await self.checkpoints(partitions)).items():
            known = max(checkpoint.emitted_offset, self._emitted.get(partition, 0))
            await self._emit_again(partition, known, checkpoint.next_offset)
            self._emitted[partition] = checkpoint.next_offset

    async def settle(self) -> None:
        """Record that all updates committed by this projector are emitted; for idle moments."""
        news = dict(self._emitted.items() - self._settled.items())
        if not news:
            return
        async with self._database.pool.acquire() as connection:
            await checkpoints.note_emitted(connection, news)
        self._settled |= news

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
            if self._emitted.get(partition, 0) < first + done:
                self._emitted.pop(partition, None)
                await self._emit_again(partition, first, first + done)
            if done < len(records):
                left[partition] = records[done:]
        return left

    async def _commit_and_emit(self, batch: Batch) -> None:
        await self._emit(batch, await self._commit_batch(batch))

    async def _commit_batch(self, batch: Batch) -> list[Projected]:
        strangers = [partition for partition in batch if partition not in self._emitted]
        if strangers:
            await self.recover(strangers)
        try:
            projected = await self._commit(batch)
        except BaseException as error:
            # It is unknown whether the commit took effect: forget the remembered states.
            self._memory = _Memory()
            if isinstance(error, Mismatch) or not is_caused_by_record(error):
                raise
            return await self._commit_in_parts(batch, error)
        self.counts.projected += len(projected)
        for tell in self._listeners:
            tell(batch, projected)
        return projected

    async def _emit(self, batch: Batch, projected: list[Projected]) -> None:
        for partition, records in batch.items():
            # A projector that died before emitting committed what precedes, or our emitting failed.
            await self._emit_again(partition, self._emitted[partition], records[0].position.offset)
        if self._updates is not None:
            changed = await self._last_changes({list_id for each in projected for list_id in each.lists})
            await self._updates.emit([each.update(changed) for each in projected])
        for partition, records in batch.items():
            self._emitted[partition] = records[-1].position.offset + 1

    async def _last_changes(self, list_ids: Collection[str]) -> dict[str, Position]:
        """Return the committed positions at which lists last changed, which include all before a batch."""
        if not list_ids:
            return {}
        async with self._database.pool.acquire() as connection:
            return await audit.last_changes(connection, list_ids)

    async def _commit_in_parts(self, batch: Batch, error: BaseException) -> list[Projected]:
        """Find the record that made a batch fail, by bisection, and park it."""
        raws = [raw for part in batch.values() for raw in part]
        if len(raws) > 1:
            half = len(raws) // 2
            parts = [_by_partition(raws[:half]), _by_partition(raws[half:])]
            return [projected for part in parts for projected in await self._commit_batch(part)]
        position = raws[0].position
        if position in self._refused:
            raise error
        assert isinstance(error, Exception)
        log.warning("a record can't be projected", position=str(position), reason=reason_of(error))
        self._refused = {position: f"it can't be projected: {reason_of(error)}"[:500]}
        return await self._commit_batch(batch)

    async def _commit(self, batch: Batch) -> list[Projected]:
        """Fold and write a batch in one transaction. Raise `Mismatch`."""
        ends = {partition: records[-1].position.offset + 1 for partition, records in batch.items()}
        firsts = {partition: records[0].position.offset for partition, records in batch.items()}
        raws = [raw for records in batch.values() for raw in records]
        records = [self._decoded(raw) for raw in raws]
        async with self._database.pool.acquire() as connection, connection.transaction():
            await checkpoints.advance(connection, firsts, ends, self._emitted)
            streams = {
                record.stream if isinstance(record, Record) else raw.stream
                for raw, record in zip(raws, records, strict=True)
            }
            fold = await self._fold_for(connection, firsts, streams, records)
            tells = self._updates is not None
            outcome = [
                project(fold.apply(raw, record), tells=tells)
                for raw, record in zip(raws, records, strict=True)
            ]
            _check_sizes(outcome)
            await self._write(connection, outcome, fold)
        self._remember(fold, ends)
        return outcome

    def _decoded(self, raw: RawRecord) -> Record | Undecodable:
        if raw.position in self._refused:
            return Undecodable(self._refused[raw.position])
        return decoded(raw)

    async def _fold_for(
        self,
        connection: Connection,
        firsts: Mapping[int, int],
        streams: Collection[str | None],
        records: Sequence[Record | Undecodable],
    ) -> Fold:
        """Return a fold with the states, accepted ids and holds of the streams in a batch."""
        memory = self._memory
        if any(memory.next_offsets.get(partition) != first for partition, first in firsts.items()):
            # Assignments change; remembered states are valid only for partitions that we never gave up.
            self._memory = memory = _Memory()
            memory.held = await dead_letters.load_holds(connection)
        missing = {stream for stream in streams if stream is not None and stream not in memory.states}
        if missing:
            memory.states.update({**dict.fromkeys(missing), **await load_streams(connection, missing)})
        ids = [record.id for record in records if isinstance(record, Record)]
        accepted = await audit.accepted_ids(connection, ids) if ids else set()
        return Fold(memory.states, accepted, memory.held, self._home)

    async def _write(self, connection: Connection, batch: list[Projected], fold: Fold) -> None:
        await tasks.write(connection, batch)
        await lists.write(connection, batch)
        await users.write(connection, batch)
        await comments.write(connection, batch)
        await search.write(connection, batch)
        await reminders.write(connection, batch)
        await notifications.write(connection, batch)
        await audit.write(connection, batch)
        if any(each.folded.outcome == "parked" or _settles(each) for each in batch):
            await dead_letters.write(connection, batch, dict(fold.held))
            self.counts.parked += sum(each.folded.outcome == "parked" for each in batch)

    def _remember(self, fold: Fold, ends: Mapping[int, int]) -> None:
        if len(fold.states) > STATES_KEPT:
            fold.states.clear()
        self._memory.next_offsets.update(ends)

    async def _emit_again(self, partition: int, first: int, end: int) -> None:
        """Emit the updates of `[first, end)` from the audit."""
        if self._updates is None:
            return
        while first < end:
            async with self._database.pool.acquire() as connection:
                updates = await audit.updates_between(connection, partition, first, end, limit=REEMIT_AT_ONCE)
            if not updates:
                return
            await self._updates.emit(updates)
            self.counts.emitted_again += len(updates)
            first = updates[-1].position.offset + 1


def _contiguous(records: Sequence[RawRecord]) -> bool:
    first = records[0].position.offset
    return records[-1].position.offset - first + 1 == len(records) and all(
        raw.position.offset == first + index for index, raw in enumerate(records)
    )


def _settles(projected: Projected) -> bool:
    record = projected.folded.record
    return record is not None and (record.retry_of is not None or record.version == 0)


def _by_partition(raws: Sequence[RawRecord]) -> Batch:
    batch: dict[int, list[RawRecord]] = {}
    for raw in raws:
        batch.setdefault(raw.position.partition, []).append(raw)
    return batch


def _check_sizes(batch: Sequence[Projected]) -> None:
    """Check that each update fits a message, as the bounds of events ensure. Raise `Undecodable`."""
    largest = max((each.size_bytes for each in batch), default=0)
    if largest > MAX_UPDATE_BYTES:
        raise Undecodable(f"its update would have {largest} bytes, and has at most {MAX_UPDATE_BYTES}")
