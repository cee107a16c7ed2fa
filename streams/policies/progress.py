"""The progress of policies in the partitions of a worker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from projections.batches import Batch
from projections.queries.policies import Reacting
from projections.read_models.projected import Projected
from streams.policies.backlog import Backlog, Reaction

POLL_S = 5.0
"""The interval of polling for records that no notification announced."""
SAVE_S = 10.0
"""The interval of writing checkpoints while nothing reacts."""


class PolicyProgressReads(Protocol):
    """The queries for progress, and the checkpoints of policies."""

    async def checkpoints(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the offset up to which policies have reacted to each of these partitions."""

    async def advance(self, checkpoints: Mapping[int, int]) -> None:
        """Record how far policies have reacted."""

    async def projected(self) -> Mapping[int, int]:
        """Return the offset up to which each partition is projected."""

    async def reacting(self, partition: int, first: int, end: int, limit: int) -> Sequence[Reacting]:
        """Return the events to react to in `[first, end)`, at most `limit`, in order."""


class PolicyProgress:
    """The backlogs of this worker's partitions. Records that nothing reacts to cost no query."""

    def __init__(self, reads: PolicyProgressReads, monotonic_s: Callable[[], float]) -> None:
        self._reads = reads
        self._monotonic_s = monotonic_s
        self._backlogs: dict[int, Backlog] = {}
        self._polled_at_s = self._saved_at_s = float("-inf")

    def __len__(self) -> int:
        return sum(map(len, self._backlogs.values()))

    @property
    def has_more(self) -> bool:
        """Return whether there is something to look up at once."""
        return any(backlog.room for backlog in self._backlogs.values())

    def on_committed(self, batch: Batch, projected: Sequence[Projected]) -> bool:
        """Record what was projected; return whether it may allow a reaction."""
        reacting = {each.folded.raw.position.partition for each in projected if each.reacts}
        for partition, records in batch.items():
            backlog = self._backlogs.get(partition)
            if backlog is not None:
                first, end = records[0].position.offset, records[-1].position.offset + 1
                backlog.committed(first, end, reacts=partition in reacting)
        return bool(reacting) or len(self) > 0

    async def follow(self, assigned: frozenset[int]) -> None:
        """Add partitions that are new, drop others, and read how far the read models are."""
        self._backlogs = {p: backlog for p, backlog in self._backlogs.items() if p in assigned}
        fresh = assigned - self._backlogs.keys()
        if fresh:
            checkpoints = await self._reads.checkpoints(fresh)
            self._backlogs |= {partition: Backlog(checkpoints[partition]) for partition in fresh}
        now_s = self._monotonic_s()
        if self._backlogs and (fresh or now_s - self._polled_at_s >= POLL_S):
            projected = await self._reads.projected()
            for partition, backlog in self._backlogs.items():
                backlog.known = max(backlog.known, projected.get(partition, 0))
            self._polled_at_s = now_s

    async def look_up(self) -> None:
        """Look up the events that react, except where it is known that there are none."""
        for partition, backlog in self._backlogs.items():
            end, room = backlog.known, backlog.room
            if room:
                rows = await self._reads.reacting(partition, backlog.read, end, room)
                backlog.looked_up(rows, end if len(rows) < room else rows[-1].position.offset + 1)

    def heads(self) -> list[Reaction]:
        """Return the first open reaction of every stream that is not pausing."""
        now_s = self._monotonic_s()
        return [
            reaction
            for backlog in self._backlogs.values()
            for reaction in backlog.heads()
            if reaction.not_before_s <= now_s
        ]

    def done(self, reaction: Reaction) -> None:
        """Remove a reaction that is done."""
        backlog = self._backlogs.get(reaction.row.position.partition)
        if backlog is not None:
            backlog.done(reaction)

    async def save(self, *, at_once: bool) -> None:
        """Write the checkpoints; unless `at_once`, only from time to time."""
        news = {p: b.checkpoint for p, b in self._backlogs.items() if b.checkpoint > b.saved}
        now_s = self._monotonic_s()
        if not news or not (at_once or now_s - self._saved_at_s >= SAVE_S):
            return
        await self._reads.advance(news)
        for partition, checkpoint in news.items():
            self._backlogs[partition].saved = checkpoint
        self._saved_at_s = now_s
