"""The recurrence policy: appends events that follow from accepted ones (`app/policies.py`), with checkpoints.

Only the log determines what has been done. The ids of derived events are derived too: of two workers that
react to the same event, or one that was killed in the middle and reacts again, the fold accepts one. A
reaction is done when deciding on the newest read models returns nothing to do; until then its offset holds
the checkpoint. It is decided once the read models have reached the log's ends of when it was first seen, and
later the loop's own appends. Events that were appended before a restart are therefore not appended again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from app.log.ports import Clock, EventLog
from app.log.records import Record
from app.stream_ids import task_stream
from projections.batches import Batch
from projections.read_models.projected import Projected
from streams.backoff import Backoff
from streams.policies.backlog import Reaction
from streams.policies.decisions import PolicyDecisionReads, decide
from streams.policies.progress import POLL_S, PolicyProgress, PolicyProgressReads
from streams.projection_loop import WAIT_FOR
from streams.supervised_loop import SupervisedLoop

log = structlog.get_logger()

OTHERS_POLL_FIRST_S = 0.05
OTHERS_POLL_MOST_S = 1.0
"""The interval of polling whether other workers have projected the needed records."""
BATCH = 200
RETRY_FIRST_S = 0.2
RETRY_MOST_S = 30.0


class PolicyReads(PolicyDecisionReads, PolicyProgressReads, Protocol):
    """The queries of the loop: `projections.queries.policies.PolicyQueries`."""


class PolicyLoop:
    """The loop of the policy; it runs until it is cancelled. `assigned` returns this worker's partitions."""

    def __init__(
        self,
        reads: PolicyReads,
        event_log: EventLog,
        assigned: Callable[[], frozenset[int]],
        *,
        clock: Clock,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reads = reads
        self._event_log = event_log
        self._assigned = assigned
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._progress = PolicyProgress(reads, monotonic_s)
        self._news = asyncio.Event()
        self._others_poll_s = OTHERS_POLL_FIRST_S

    def on_committed(self, batch: Batch, projected: Sequence[Projected]) -> None:
        """Record what was projected (see `Projector`): it may react, or be what a reaction waits for."""
        if self._progress.on_committed(batch, projected):
            self._news.set()

    def wake(self) -> None:
        """Check now, because partitions were assigned or revoked."""
        self._news.set()

    async def run(self) -> None:
        """React, for ever. Wait while Postgres or Kafka is unavailable."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        supervised = SupervisedLoop(backoff, WAIT_FOR, waiting="policies wait", failed="policies failed")
        await supervised.run(self._step)

    async def _step(self) -> None:
        self._news.clear()
        await self._sleep(await self.round())

    async def _sleep(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            pass

    async def round(self) -> float:
        """React to what is ready; return the seconds until the next round, unless woken before."""
        progress = self._progress
        await progress.follow(self._assigned())
        await progress.look_up()
        before = len(progress)
        await self._react(await self._ready())
        is_done = len(progress) < before
        await progress.save(at_once=is_done)
        if is_done or progress.has_more:
            self._others_poll_s = OTHERS_POLL_FIRST_S
            return 0.0
        if not len(progress):
            return POLL_S
        wait_s = self._others_poll_s
        self._others_poll_s = min(wait_s * 2, OTHERS_POLL_MOST_S)
        return wait_s

    # --- when it may be decided ----------------------------------------------------------------------------

    async def _ready(self) -> list[Reaction]:
        """Return the reactions that can be decided now."""
        heads = self._progress.heads()
        fresh = [reaction for reaction in heads if reaction.needs is None]
        if fresh:
            ends = await self._event_log.ends()
            for reaction in fresh:
                self._prepare(reaction, ends)
        waiting = [reaction for reaction in heads if reaction.needs is not None]
        projected = await self._reads.projected() if waiting else {}
        return [reaction for reaction in waiting if reaction.may_be_decided(projected)][:BATCH]

    def _prepare(self, reaction: Reaction, ends: Mapping[int, int]) -> None:
        """Decode a reaction, and set the offsets that must be projected before it is decided."""
        try:
            cause = reaction.row.cause()
        except Exception as error:  # noqa: BLE001 - an unreadable row does not affect the others
            self._failed(reaction, error)
            return
        if cause.next_id is None:
            self._progress.done(reaction)
            return
        places = {self._event_log.partition_of(stream) for stream in (task_stream(cause.next_id), cause.home)}
        reaction.cause, reaction.needs = cause, {place: ends[place] for place in places}

    # --- doing it ------------------------------------------------------------------------------------------

    async def _react(self, reactions: Sequence[Reaction]) -> None:
        """Decide these, and append the resulting events."""
        causes = [reaction.cause for reaction in reactions if reaction.cause is not None]
        decided = await decide(self._reads, causes, self._clock()) if causes else []
        todo: list[tuple[Reaction, Record]] = []
        for reaction, record in zip(reactions, decided, strict=True):
            if isinstance(record, Exception):
                self._failed(reaction, record)
            elif record is None:
                self._progress.done(reaction)
            else:
                todo.append((reaction, record))
        await self._append(todo)

    async def _append(self, todo: Sequence[tuple[Reaction, Record]]) -> None:
        if not todo:
            return
        try:
            positions = await self._event_log.append([record for _, record in todo])
        except Exception as error:
            for reaction, _ in todo:
                # Some may have been written: the log as of now must be projected first.
                reaction.needs = None
            if isinstance(error, WAIT_FOR):
                raise
            await self._append_singly(todo, error)
            return
        for (reaction, _), (partition, offset) in zip(todo, positions, strict=True):
            reaction.needs = {partition: offset + 1}
            reaction.tried(self._monotonic_s())

    async def _append_singly(self, todo: Sequence[tuple[Reaction, Record]], error: Exception) -> None:
        """Find the record that the log refuses."""
        if len(todo) == 1:
            self._failed(todo[0][0], error)
            return
        for each in todo:
            await self._append([each])

    def _failed(self, reaction: Reaction, error: Exception) -> None:
        """Postpone it: it holds the checkpoint and its own stream, and nothing else."""
        pause_s = reaction.failed(self._monotonic_s())
        position = str(reaction.row.position)
        log.error("a policy failed", position=position, retry_in_s=pause_s, exc_info=error)
