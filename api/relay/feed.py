"""The feed: delivers every update to this node's hub and outcomes, in order, while the node runs.

It supervises broadcaster's listener: when reading fails or stalls, it reconnects and continues at the last
Kafka offsets. Updates that task-updates no longer contains, or never got, are read from the audit.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, cast

import structlog
from aiokafka.errors import KafkaError
from broadcaster import Broadcast
from broadcaster._base import Subscriber

from api.broadcast.topic_tail import Broken
from api.broadcast.updates_backend import Batch, KafkaUpdates
from api.relay.hub import Hub
from api.telemetry.counters import RelayCounters
from app.errors import Unavailable
from app.log.updates import Update
from app.positions import Positions
from streams.backoff import Backoff
from streams.supervised_loop import SupervisedLoop

log = structlog.get_logger(__name__)

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
SPREAD = (0.5, 1.5)
REFILL_AT_ONCE = 500
REFILL_DELAY_S = 0.1
REFILL_MOST_S = 2.0
BATCHED_UPDATES = 128
WATCH_EVERY_S = 5.0
STALLED_AFTER = 3

Open = Callable[[Mapping[int, int] | None], KafkaUpdates]
"""Creates a backend that reads from these Kafka offsets, or from the end."""


class Audit(Protocol):
    """The queries of the audit that the feed needs. Both raise `Unavailable`."""

    async def reached(self) -> dict[int, int]:
        """Return partition → the next offset to fold."""

    async def between(self, partition: int, first: int, end: int, limit: int) -> list[Update]:
        """Return every update of the offsets `[first, end)`, at most `limit`, in order."""


class Listener(Protocol):
    """A receiver of updates in addition to the hub."""

    def start(self, positions: Positions) -> None:
        """Receive, once, the positions before the first update."""

    def resolve(self, update: Update) -> None:
        """Receive an update."""


class Stalled(Exception):
    """There are updates to read, but none arrives."""


INTERRUPTIONS: tuple[type[BaseException], ...] = (Unavailable, Stalled, KafkaError, OSError, TimeoutError)


class UpdateFeed:
    """Feeds a hub, and passes every update to the `listener` too.

    `log_ends` returns the ends of the log of events: an update beyond them belongs to no record.
    """

    def __init__(
        self,
        *,
        topic: str,
        open_backend: Open,
        audit: Audit,
        log_ends: Callable[[], Awaitable[Mapping[int, int]]],
        hub: Hub,
        counters: RelayCounters,
        listener: Listener | None = None,
    ) -> None:
        self._topic = topic
        self._open = open_backend
        self._audit = audit
        self._log_ends = log_ends
        self._hub = hub
        self._counters = counters
        self._listener = listener
        self.started = asyncio.Event()
        """Set when the start of the stream of updates is known."""
        self._next_offsets: dict[int, int] | None = None
        self._connected = False
        self._reachable = True
        self._is_waiting = False
        self._task: asyncio.Task[None] | None = None
        self.restarts = 0

    @property
    def alive(self) -> bool:
        """Return True if updates arrive, or would if there were any."""
        return self._connected and self._reachable and self._task is not None and not self._task.done()

    def start(self) -> None:
        """Start feeding in the background."""
        self._task = asyncio.create_task(self._run(), name="update-feed")

    async def stop(self) -> None:
        """Stop feeding."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        supervised = SupervisedLoop(
            Backoff(FIRST_DELAY_S, LONGEST_DELAY_S, spread=SPREAD, steady_s=LONGEST_DELAY_S),
            INTERRUPTIONS,
            waiting="the updates are interrupted",
            on_failure=self._count_restart,
        )
        await supervised.run(self._listen)

    def _count_restart(self) -> None:
        self.restarts += 1

    async def _listen(self) -> None:
        """Read until an error occurs, and raise it."""
        backend = self._open(self._next_offsets)
        async with Broadcast(backend=backend) as broadcast:
            if self._next_offsets is None:
                self._next_offsets = await self._begin(backend)
            async with broadcast.subscribe(self._topic) as subscriber:
                self._connected = self._reachable = True
                try:
                    await _first_to_end(
                        self._relay(subscriber, backend, self._next_offsets),
                        self._watch(backend, self._next_offsets),
                    )
                finally:
                    self._connected = False

    async def _begin(self, backend: KafkaUpdates) -> dict[int, int]:
        """Determine the start of the stream of updates, and return the Kafka offsets to read from.

        The end of the topic is known already. Rows are committed before their updates are emitted, so all
        updates emitted before that end are below the checkpoints that are read now.
        """
        reached = await self._audit.reached()
        positions = {partition: offset - 1 for partition, offset in reached.items()}
        self._hub.published.start(positions, len(backend.next_offsets))
        if self._listener is not None:
            self._listener.start(positions)
        self.started.set()
        return dict(backend.next_offsets)

    # --- the updates -------------------------------------------------------------------------------------

    async def _relay(self, subscriber: Subscriber, backend: KafkaUpdates, reached: dict[int, int]) -> None:
        while True:
            # broadcaster declares messages as text and passes on what our backend returned: one of these.
            batch = cast("Batch | Broken", (await subscriber.get()).message)
            if isinstance(batch, Broken):
                raise batch.error
            await self._deliver_all(batch.updates)
            if batch.updates:
                self._counters.delivered(batch.updates[0].time, time.time())
            reached.update(batch.next_offsets)
            backend.processed()

    async def _deliver_all(self, updates: Sequence[Update]) -> None:
        """Deliver updates, batched for each socket while they are contiguous."""
        at = 0
        while at < len(updates):
            end = min(len(updates), at + BATCHED_UPDATES)
            with self._hub.batching() if end - at > 1 else contextlib.nullcontext():
                while at < end and self._hub.published.follows(updates[at]):
                    self._deliver(updates[at])
                    at += 1
            if at < end:
                await self._deliver_in_order(updates[at])
                at += 1
            await asyncio.sleep(0)  # Let sockets be written to in between.

    async def _deliver_in_order(self, update: Update, waiting: frozenset[int] = frozenset()) -> None:
        """Deliver an update after all updates that must precede it, unless the log has no such record.

        The partitions in `waiting` wait for it and are not advanced: of two updates that would each have to
        precede the other, neither was written after the other.
        """
        partition = update.position.partition
        gap = self._hub.published.gap_before(update)
        if gap is not None and not await self._refill(partition, gap, waiting):
            log.error("not the update of a record of the log", position=str(update.position))
            return
        for position in update.after:
            ahead = None if position.partition in waiting else self._hub.published.gap_up_to(position)
            if ahead is not None and not await self._refill(position.partition, ahead, waiting | {partition}):
                log.error("an update follows on a record that the log lacks", position=str(position))
        self._deliver(update)

    def _deliver(self, update: Update) -> None:
        self._hub.publish(update)
        if self._listener is not None:
            self._listener.resolve(update)

    async def _refill(self, partition: int, gap: range, waiting: frozenset[int]) -> bool:
        """Deliver the missing offsets from the audit; return False if the log has no such records.

        Rows are committed before their updates are emitted: records of the log that the audit lacks were lost
        in a crash of the database, until the worker writes them again. Wait for that, and for the database
        itself: a skipped update would be lost for ever.
        """
        following, pauses, tries = gap.start, Backoff(REFILL_DELAY_S, REFILL_MOST_S), 0
        log.info("updates are read from the audit", partition=partition, first=gap.start, end=gap.stop)
        while True:
            try:
                following = await self._from_audit(partition, following, gap.stop, waiting)
                if following >= gap.stop:
                    return True
                if (await self._log_ends()).get(partition, 0) < gap.stop:
                    return False
                reason = f"the audit lacks {partition}:{following}"
            except Unavailable as error:
                reason = error.detail
            log.warning("an update waits for others", partition=partition, first=following, reason=reason)
            tries += 1
            self._is_waiting = True
            await asyncio.sleep(pauses.pause_s(tries))
            self._is_waiting = False

    async def _from_audit(self, partition: int, following: int, end: int, waiting: frozenset[int]) -> int:
        """Deliver the audit's updates of `[following, end)`, and return the next offset."""
        while following < end:
            missing = await self._audit.between(partition, following, end, REFILL_AT_ONCE)
            if not missing or missing[0].position.offset != following:
                break
            for each in missing:
                await self._deliver_in_order(each, waiting)
            following = missing[-1].position.offset + 1
        return following

    # --- supervision -------------------------------------------------------------------------------------

    async def _watch(self, backend: KafkaUpdates, reached: Mapping[int, int]) -> None:
        """Query the topic's ends from the brokers periodically. Raise `Stalled` if updates do not arrive."""
        stalled, before = 0, dict(reached)
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            try:
                async with asyncio.timeout(WATCH_EVERY_S):
                    ends = await backend.ends()
            except (KafkaError, OSError, TimeoutError):
                self._reachable = False
                continue
            self._reachable = True
            lag = sum(max(0, end - reached.get(partition, 0)) for partition, end in ends.items())
            self._counters.feed_lag, behind = lag, lag > 0
            stalled = stalled + 1 if behind and reached == before and not self._is_waiting else 0
            before = dict(reached)
            if stalled >= STALLED_AFTER:
                raise Stalled("there are updates, but none arrives")


async def _first_to_end(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them together until one ends or raises; stop the others, and end the same way."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
