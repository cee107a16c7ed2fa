"""The loop between Faust and the projector: takes micro-batches and projects them.

No exception leaves it. It waits while Postgres or Kafka is unavailable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from app.errors import Unavailable
from app.log.ports import EventLog
from app.log.records import RawRecord
from projections.postgres.database import DATABASE_UNAVAILABLE
from projections.projector import Projector
from streams.backoff import Backoff
from streams.batches import MicroBatches
from streams.supervised_loop import SupervisedLoop

WAIT_FOR: tuple[type[BaseException], ...] = (Unavailable, *DATABASE_UNAVAILABLE)
RETRY_FIRST_S = 0.1
RETRY_MOST_S = 2.0
CHECK_S = 1.0
FAR_BEHIND = 2_000
"""A partition that is so many records behind is read in bulk, many times as fast as Faust delivers."""
FAR_BEHIND_CHECK_S = 1.0
STOP_LIMIT_S = 3.0
ALIVE_LIMIT_S = 3.0
"""A loop that has done nothing for so long, not even polled, hangs or waits for a dependency."""


@dataclass(slots=True)
class LoopCounts:
    """Counters of the loop, for metrics."""

    batches: int = 0
    batch_records: int = 0
    """The number of records in the last batch."""
    retries: int = 0


class ProjectionLoop:
    """The owner of a projector. `start` it, `deliver` to it, `assign` it partitions, `stop` it."""

    def __init__(self, projector: Projector, event_log: EventLog) -> None:
        self._projector = projector
        self._event_log = event_log
        self.resume_delivery: Callable[[Collection[int]], Awaitable[None]] | None = None
        """Makes the delivery continue to read partitions from their `places`."""
        self.is_delivered: Callable[[], bool] = lambda: True
        """Returns whether records are delivered as they arrive."""
        self.counts = LoopCounts()
        self.moved_at_s: dict[int, float] = {}
        """Partition → the time at which we last moved its checkpoint, by the clock of `time.time`."""
        self._looked_at_s = 0.0
        self._alive_at_s = 0.0
        self._is_far_behind = False
        self._was_assigned = False
        self._delivered: MicroBatches[RawRecord] = MicroBatches()
        self._assigned: frozenset[int] = frozenset()
        self._to_recover: set[int] = set()
        self._stopping = False
        self._supervised = SupervisedLoop(
            Backoff(RETRY_FIRST_S, RETRY_MOST_S),
            WAIT_FOR,
            waiting="waiting",
            failed="projecting failed",
            on_failure=self._count_failure,
            is_stopped=lambda: self._stopping,
        )
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[int, int] = {}

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that are assigned to this loop."""
        return self._assigned

    @property
    def ready(self) -> bool:
        """Return whether a record that is appended to an assigned partition now is projected at once."""
        alive = time.monotonic() - self._alive_at_s < ALIVE_LIMIT_S
        waits = self._to_recover or self._projector.refilled or self._is_far_behind
        return self._was_assigned and self.is_delivered() and alive and not waits and not self._stopping

    async def places(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the offsets from which partitions must be delivered: their checkpoints."""
        found = await self._projector.checkpoints(sorted(partitions))
        return {partition: checkpoint.next_offset for partition, checkpoint in found.items()}

    def start(self) -> None:
        """Start taking batches."""
        self._task = asyncio.create_task(self._run(), name="projection-loop")

    async def stop(self) -> None:
        """Finish the current batch (bounded), then end. A batch that is cut off is rolled back."""
        self._stopping = True
        self._delivered.wake()
        if self._task is not None:
            done, _ = await asyncio.wait({self._task}, timeout=STOP_LIMIT_S)
            if not done:
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=STOP_LIMIT_S)

    def assign(self, partitions: Iterable[int]) -> None:
        """Record a new assignment; partitions that are new are recovered first."""
        assigned = frozenset(partitions)
        self._to_recover |= assigned - self._assigned
        self._to_recover &= assigned
        self._assigned = assigned
        self._was_assigned = True

    async def deliver(self, raw: RawRecord) -> None:
        """Deliver a record; wait while the queue is full."""
        await self._delivered.put(raw)

    async def _run(self) -> None:
        while not self._stopping:
            if self._to_recover:
                await self._until_done(self._recover)
            raws = await self._delivered.next(CHECK_S)
            if raws:
                await self._until_done(lambda raws=raws: self._project(raws))  # type: ignore[misc]
                await self._until_done(self._look_ahead, once=True)
            else:
                await self._until_done(self._when_idle, once=True)
            if self._projector.refilled:
                await self._until_done(self._skip_refilled, once=True)

    async def _project(self, raws: list[RawRecord]) -> None:
        batch: dict[int, dict[int, RawRecord]] = {}
        for raw in raws:
            partition, offset = raw.position
            batch.setdefault(partition, {})[offset] = raw
        await self._projector.project(
            {
                partition: [records[offset] for offset in sorted(records)]
                for partition, records in batch.items()
            }
        )
        self.counts.batches += 1
        self.counts.batch_records = len(raws)
        self.moved_at_s |= dict.fromkeys(batch, time.time())

    async def _recover(self) -> None:
        """Bring partitions that are new here to the log's end, so that new records are projected at once."""
        partitions = sorted(self._to_recover)
        await self._projector.recover(partitions)
        await self._catch_up(partitions, least=1)
        await self._skip_refilled()
        self._to_recover.difference_update(partitions)

    async def _look_ahead(self) -> None:
        """Look for partitions that are far behind, but not often."""
        if time.monotonic() - self._looked_at_s >= FAR_BEHIND_CHECK_S:
            await self._catch_up(sorted(self._assigned), least=FAR_BEHIND)

    async def _catch_up(self, partitions: Collection[int], *, least: int) -> None:
        """Bring partitions that are at least so many records behind to the log's end in bulk."""
        ends = await self._event_log.ends()
        places = await self.places(partitions)
        behind = {
            partition: ends[partition]
            for partition, next_offset in places.items()
            if ends[partition] - next_offset >= least
        }
        self._is_far_behind = any(end - places[partition] >= FAR_BEHIND for partition, end in behind.items())
        for partition, end in behind.items():
            await self._projector.catch_up(partition, end)
            self.moved_at_s[partition] = time.time()
        self._is_far_behind = False
        self._looked_at_s = time.monotonic()

    async def _skip_refilled(self) -> None:
        """Make delivery continue after what was projected past it, instead of delivering it again."""
        refilled = frozenset(self._projector.refilled)
        if refilled and self.resume_delivery is not None:
            await self.resume_delivery(refilled & self._assigned)
        self._projector.refilled -= refilled

    async def _when_idle(self) -> None:
        """Record what was emitted, and look for records that were not delivered.

        If Faust is ahead of the checkpoint, it delivers nothing, and the loop reads the log directly. So it
        does if a crash of the database has reset the checkpoint.
        """
        await self._projector.settle()
        ends = await self._event_log.ends()
        for partition, next_offset in (await self.places(self._assigned)).items():
            end = ends[partition]
            stuck = next_offset < end and next_offset <= self._seen.get(partition, -1)
            self._seen[partition] = next_offset
            if stuck and not len(self._delivered):
                await self._projector.catch_up(partition, end)

    async def _until_done(self, action: Callable[[], Awaitable[None]], *, once: bool = False) -> None:
        """Retry until the action succeeds or the loop stops; if `once`, log the first failure and give up."""

        async def do() -> None:
            await action()
            self._alive_at_s = time.monotonic()

        await (self._supervised.try_once(do) if once else self._supervised.until_done(do))

    def _count_failure(self) -> None:
        self.counts.retries += 1
