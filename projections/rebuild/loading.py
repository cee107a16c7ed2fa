"""Loading: the records of one partition are folded in memory and copied into a generation that nobody reads.

All records of a stream are in one partition, so a fold of a partition needs nothing of the others, and each
can be loaded by another process. What a read model writes for each record is written in large batches. What
depends only on the states of streams is written once, at the end. Nothing is written of read models that are
copied.

A load that was interrupted folds the records again that it has written, without writing them. So it needs as
much memory as the states of the largest partition take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import islice

import structlog

from app.bounds import MAX_UPDATE_BYTES
from app.errors import reason_of
from app.log.fold import Fold, decoded
from app.log.records import RawRecord
from projections.postgres.database import Database
from projections.postgres.failures import is_caused_by_record
from projections.read_models import audit
from projections.read_models.projected import Projected, ProjectedBatch, project, settled
from projections.read_models.registry import FROM_STATES, ReadModel
from projections.rebuild import load_progress
from projections.rebuild.following import LogReader
from projections.rebuild.load_progress import Loaded

BATCH = 5_000
"""The number of records that are written at once."""
STATES_AT_ONCE = 2_000
HOMES_KEPT = 65_536
"""The number of streams whose partitions are remembered."""
TURN = 500
"""The number of records that are folded while nothing else runs."""

Count = Callable[[int], None]
"""A listener to numbers of records that were read, and written if they were not before."""

log = structlog.get_logger()


class PartitionLoad:
    """The load of one partition up to `end`."""

    def __init__(
        self, database: Database, event_log: LogReader, partition: int, end: int, count: Count
    ) -> None:
        self._database = database
        self._event_log = event_log
        self._partition = partition
        self._end = end
        self._count = count
        self._writing: asyncio.Task[None] | None = None
        self._loaded: Sequence[ReadModel] = ()

    async def run(self) -> None:
        """Load what is missing. Raise `Overtaken`, `Unavailable` and `WrongLog`.

        A record that the database refuses ends the load early: a projector then goes on, and parks it. But if
        the rows of other read models were copied, the load is left unfinished: they may not park it.
        """
        self._loaded = await load_progress.loaded(self._database.pool)
        while True:
            found = await load_progress.read(self._database.pool)
            if found is None or found[self._partition].finished:
                return
            progress = found[self._partition]
            try:
                await self._load(progress)
            except Exception as error:
                if not is_caused_by_record(error) or isinstance(error, load_progress.Overtaken):
                    raise
                log.warning(
                    "a record is left to the projector", partition=self._partition, reason=reason_of(error)
                )
                if progress.until is not None:
                    return
                self._end = (await self._written()) or 0
            else:
                return
            finally:
                await self._stop_writing()

    async def _written(self) -> int:
        progress = await load_progress.read(self._database.pool)
        return progress[self._partition].next_offset if progress else 0

    async def _load(self, progress: Loaded) -> None:
        """Fold the partition from its first record on, and write the records that are not written yet."""
        end = self._end if progress.until is None else progress.until
        home = lru_cache(HOMES_KEPT)(self._event_log.partition_of)
        fold = Fold(accepted=AcceptedIds(), home=home)
        writes = bool(self._of_records)
        batch: list[Projected] = []
        parked: list[int] = []
        done = 0
        async for raws in self._event_log.read(self._partition, 0, end):
            for turn in _turns(raws):
                for raw in turn:
                    folded = fold.apply(raw, decoded(raw))
                    if folded.outcome == "parked":
                        parked.append(raw.position.offset)
                    if writes and raw.position.offset >= progress.next_offset:
                        batch.append(project(folded, tells=False))
                await asyncio.sleep(0)
            done += len(raws)
            if len(batch) >= BATCH or (batch and done == end):
                await self._write_next(ProjectedBatch(batch, dict(fold.held)))
                batch = []
            elif not batch:
                self._count(len(raws))
        await self._written_so_far()
        if progress.parked is not None and parked != progress.parked:
            log.warning("other records are parked than in the live read models", partition=self._partition)
            return
        await self._write_states(fold, progress.next_offset, end)

    @property
    def _of_records(self) -> Sequence[ReadModel]:
        """The read models that are loaded record by record."""
        return [each for each in self._loaded if each not in FROM_STATES]

    async def _write_next(self, batch: ProjectedBatch) -> None:
        """Write a batch while the next one is folded."""
        if max(each.size_bytes for each in batch.records) > MAX_UPDATE_BYTES:
            raise ValueError("an update would be too large")
        await self._written_so_far()
        self._writing = asyncio.create_task(self._write(batch))

    async def _written_so_far(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
            self._writing = None

    async def _write(self, batch: ProjectedBatch) -> None:
        first, last = (batch.records[place].folded.raw.position.offset for place in (0, -1))
        async with self._database.pool.acquire() as connection, connection.transaction():
            await load_progress.advance(connection, self._partition, first, last + 1)
            for read_model in self._of_records:
                write = audit.write_in_load if read_model is audit else read_model.write
                await write(connection, batch)
        self._count(len(batch.records))

    async def _write_states(self, fold: Fold, written: int, end: int) -> None:
        """Write what depends only on the states, in one transaction with the note that it is written."""
        remaining = (
            settled(state, fold.began[stream], self._partition)
            for stream, state in fold.states.items()
            if state is not None
        )
        async with self._database.pool.acquire() as connection, connection.transaction():
            if not self._of_records:
                await load_progress.advance(connection, self._partition, written, end)
            await load_progress.finish(connection, self._partition, end)
            while part := list(islice(remaining, STATES_AT_ONCE)):
                batch = ProjectedBatch(part, {})
                for read_model in self._loaded:
                    if read_model in FROM_STATES:
                        await read_model.write(connection, batch)


class AcceptedIds(set[tuple[str, str]]):
    """The accepted events of a partition, each as a hash of 64 bits, which takes a quarter of the memory.

    Of ten million events, two have the same hash in less than one of 300,000 loads.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hashes: set[int] = set()

    def __contains__(self, event: object) -> bool:
        return hash(event) in self._hashes

    def add(self, event: tuple[str, str]) -> None:
        """Add an event."""
        self._hashes.add(hash(event))


def _turns(raws: Sequence[RawRecord]) -> Iterable[Sequence[RawRecord]]:
    return (raws[first : first + TURN] for first in range(0, len(raws), TURN))
