"""The loop between Faust and the projector: takes micro-batches, projects them, acknowledges them.

No exception leaves it. While Postgres or Kafka is away it waits; the events it holds stay unacknowledged.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from app.errors import Unavailable
from app.ports import EventLog
from app.records import RawRecord
from projections.database import AWAY
from projections.projector import Projector
from streams.batches import MicroBatches

log = structlog.get_logger()

WAIT_FOR: tuple[type[BaseException], ...] = (Unavailable, *AWAY)
RETRY_FIRST_S = 0.1
RETRY_MOST_S = 2.0
CHECK_S = 1.0
FAR_BEHIND = 2_000
"""A partition that is so many records behind is read in bulk, many times as fast as Faust delivers."""
FAR_BEHIND_CHECK_S = 1.0
STOP_LIMIT_S = 3.0


class Delivery(Protocol):
    """A record as it was delivered, to be acknowledged once it is projected."""

    @property
    def raw(self) -> RawRecord:
        """The record."""

    def ack(self) -> None:
        """Say that the record is done."""


class ProjectionLoop:
    """Owns a projector. `start` it, `deliver` to it, `assign` it partitions, `stop` it."""

    def __init__(self, projector: Projector, event_log: EventLog) -> None:
        self._projector = projector
        self._event_log = event_log
        self.skip_to: Callable[[int, int], Awaitable[None]] | None = None
        """Tells who delivers that a partition is done up to an offset."""
        self._looked_at_s = 0.0
        self._deliveries: MicroBatches[Delivery] = MicroBatches()
        self._assigned: frozenset[int] = frozenset()
        self._to_recover: set[int] = set()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[int, int] = {}

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that are ours to bring forward."""
        return self._assigned

    def start(self) -> None:
        """Begin to take batches."""
        self._task = asyncio.create_task(self._run(), name="projection-loop")

    async def stop(self) -> None:
        """Finish the batch in hand (bounded), then end. A batch that is cut off is rolled back."""
        self._stopping = True
        self._deliveries.wake()
        if self._task is not None:
            done, _ = await asyncio.wait({self._task}, timeout=STOP_LIMIT_S)
            if not done:
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=STOP_LIMIT_S)

    def assign(self, partitions: Iterable[int]) -> None:
        """Take note of a new assignment; partitions that are new are recovered first."""
        assigned = frozenset(partitions)
        self._to_recover |= assigned - self._assigned
        self._to_recover &= assigned
        self._assigned = assigned

    async def deliver(self, delivery: Delivery) -> None:
        """Hand over a record; waits while the queue is full."""
        await self._deliveries.put(delivery)

    async def _run(self) -> None:
        while not self._stopping:
            if self._to_recover:
                await self._until_done(self._recover)
            deliveries = await self._deliveries.next(CHECK_S)
            if deliveries:
                await self._until_done(lambda batch=deliveries: self._project(batch))  # type: ignore[misc]
                for delivery in deliveries:
                    delivery.ack()
                await self._until_done(self._leap, once=True)
            else:
                await self._until_done(self._when_idle, once=True)

    async def _project(self, deliveries: list[Delivery]) -> None:
        batch: dict[int, dict[int, RawRecord]] = {}
        for delivery in deliveries:
            partition, offset = delivery.raw.position
            batch.setdefault(partition, {})[offset] = delivery.raw
        await self._projector.project(
            {
                partition: [records[offset] for offset in sorted(records)]
                for partition, records in batch.items()
            }
        )

    async def _recover(self) -> None:
        partitions = sorted(self._to_recover)
        await self._projector.recover(partitions)
        self._to_recover.difference_update(partitions)
        await self._leap()

    async def _leap(self) -> None:
        """Bring partitions that are far behind to the log's end in bulk, and have delivery go on there."""
        if time.monotonic() - self._looked_at_s < FAR_BEHIND_CHECK_S:
            return
        self._looked_at_s = time.monotonic()
        partitions = sorted(self._assigned)
        ends = await self._event_log.ends()
        for partition, checkpoint in (await self._projector.checkpoints(partitions)).items():
            if ends[partition] - checkpoint.next_offset >= FAR_BEHIND:
                await self._projector.catch_up(partition, ends[partition])
                if self.skip_to is not None:
                    await self.skip_to(partition, ends[partition])

    async def _when_idle(self) -> None:
        """Write down what was emitted, and look for records that nobody delivered.

        A committed offset may be ahead of the checkpoint; then Faust delivers nothing, and we read ourselves.
        So it is when a crash of the database has taken the checkpoint back.
        """
        await self._projector.settle()
        partitions = sorted(self._assigned)
        ends = await self._event_log.ends()
        checkpoints = await self._projector.checkpoints(partitions)
        for partition in partitions:
            next_offset, end = checkpoints[partition].next_offset, ends[partition]
            stuck = next_offset < end and next_offset <= self._seen.get(partition, -1)
            self._seen[partition] = next_offset
            if stuck and not len(self._deliveries):
                await self._projector.catch_up(partition, end)

    async def _until_done(self, action: Callable[[], Awaitable[None]], *, once: bool = False) -> None:
        """Try until it works or we stop; `once` gives up, with a line in the log, at the first failure."""
        delay_s = RETRY_FIRST_S
        while True:
            try:
                return await action()
            except WAIT_FOR as error:
                log.warning("waiting", reason=str(error) or repr(error), retry_in_s=round(delay_s, 2))
            except Exception:
                log.exception("projecting failed", retry_in_s=round(delay_s, 2))
            if once or self._stopping:
                return None
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311
            delay_s = min(delay_s * 2, RETRY_MOST_S)
