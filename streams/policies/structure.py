"""The policy that repairs violations of the rules that span streams (`app.structure.rules`).

Locks prevent violations; this policy repairs those that still occur. After each commit it checks the
neighbours of what changed, once the read models have reached the log's ends of that time: an apparent
violation before may be a partial read. Violations are repaired under the locks of the streams involved, on
states read under these locks. A violation that a running command is about to fix is therefore left to it. The
ids of repairs are derived, so of two workers that make the same repair, the fold accepts one. When partitions
are assigned to this worker, all tasks are checked, because the previous worker may have died before its
repairs.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from app.errors import Unavailable
from app.lists.state import TaskList
from app.log.fold import State
from app.log.ports import Clock, EventLog
from app.log.records import Record
from app.positions import Position
from app.stream_ids import task_stream
from app.structure.locks import ClusterLocks, LockModes
from app.structure.repairs import Repair, repair_of
from app.structure.rules import StructureState, Violation, ancestors, touches_structure, violations
from app.tasks.series import occurrence_ids
from app.tasks.state import Task
from projections.batches import Batch
from projections.queries.structure import Candidates, RepairCause
from projections.read_models.projected import Projected
from streams.backoff import Backoff
from streams.policies.postponed_repairs import RETRY_FIRST_S, RETRY_MOST_S, PostponedRepairs
from streams.policies.repair_records import repair_records
from streams.projection_loop import WAIT_FOR
from streams.supervised_loop import SupervisedLoop

log = structlog.get_logger()

PAUSE_S = 0.1
"""The time between two rounds: changes of a burst are checked together."""
LOCK_TIMEOUT_S = 0.5
POLL_S = 0.02
WAIT_LIMIT_S = 5.0
"""The time that one round waits for the read models; then the round is repeated."""
MAX_CHANGED = 20_000
"""Above this number of unchecked changes, all tasks are checked instead."""
MAX_REPAIRS = 100
"""The number of violations that are repaired under one set of locks."""
SWEEP_PAGE = 2_000
MAX_ATTEMPTS = 6
"""The number of repairs of one stream in a row; violations that remain are postponed."""


class StructureReads(Protocol):
    """The queries of the policy: `projections.queries.structure.StructureQueries`."""

    async def projected(self) -> Mapping[int, int]:
        """Return the offset up to which each partition is projected."""

    async def candidates(self, changed: Candidates, *, is_sweep: bool = False) -> Candidates:
        """Return the tasks and lists that may violate a rule, among the changed ones and those below them."""

    async def page(self, after: str, limit: int) -> list[str]:
        """Return a page of task ids, in order."""

    async def duplicate_occurrences(self) -> set[str]:
        """Return the tasks that share an occurrence of a series with another task."""

    async def state(self, candidates: Candidates) -> StructureState:
        """Return the states around candidates, on one snapshot."""

    async def cause(self, streams: Collection[str]) -> RepairCause | None:
        """Return the newest event of these streams."""

    async def held(self, streams: Collection[str]) -> Collection[str]:
        """Return those of these streams that a parked record holds."""


class StructurePolicy:
    """The loop of the policy; it runs until it is cancelled."""

    def __init__(
        self,
        reads: StructureReads,
        event_log: EventLog,
        locks: ClusterLocks,
        *,
        clock: Clock,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reads = reads
        self._event_log = event_log
        self._locks = locks
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._changed = Candidates()
        self._series: set[str] = set()
        self._sweep_due = True
        self._series_due = False
        self._postponed = PostponedRepairs(monotonic_s)
        self._news = asyncio.Event()

    def on_committed(self, _batch: Batch, projected: Sequence[Projected]) -> None:
        """Record what was projected (see `Projector`)."""
        for each in projected:
            folded = each.folded
            if folded.outcome == "accepted" and touches_structure(folded.before, folded.after):
                self._note(folded.after)

    def _note(self, state: State | None) -> None:
        if isinstance(state, Task):
            self._changed.tasks.add(state.id)
            if state.series is not None:
                ids = occurrence_ids(state.series)
                self._series.update(ids, [state.id])
                # If the id is not of a series, the other task can be anywhere.
                self._series_due = self._series_due or state.id not in ids
        elif isinstance(state, TaskList):
            self._changed.lists.add(state.id)
        if len(self._changed) > MAX_CHANGED:
            self._changed, self._series, self._sweep_due = Candidates(), set(), True
        self._news.set()

    def check_all(self) -> None:
        """Check all tasks, because partitions were assigned."""
        self._sweep_due = True
        self._news.set()

    async def run(self) -> None:
        """Check and repair, for ever. Wait while Postgres or Kafka is unavailable."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        supervised = SupervisedLoop(backoff, WAIT_FOR, waiting="repairing waits", failed="repairing failed")
        await supervised.run(self._step)

    async def _step(self) -> None:
        await self._until_due()
        await self.round()
        await asyncio.sleep(PAUSE_S)

    async def _until_due(self) -> None:
        """Wait until there is something to check."""
        if not self._sweep_due and not self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._postponed.due_in_s()):
                    await self._news.wait()
        self._news.clear()

    async def round(self) -> None:
        """Check what has changed, or everything, and repair violations.

        Raise the database's and the log's errors while they are unavailable, and `Unavailable` while the read
        models lag. What was to be checked is then checked again.
        """
        self._changed.add(self._postponed.take_due())
        changed, self._changed = self._changed, Candidates()
        series, self._series = self._series, set()
        is_sweep, self._sweep_due = self._sweep_due, False
        looks_for_twins, self._series_due = self._series_due, False
        try:
            await self._until_projected(await self._event_log.ends())
            if is_sweep:
                await self._sweep()
            twins = await self._reads.duplicate_occurrences() if looks_for_twins else set()
            await self._repair(await self._reads.candidates(changed), series | twins)
        except BaseException:
            self._changed.add(changed)
            self._series |= series
            self._sweep_due = self._sweep_due or is_sweep
            self._series_due = self._series_due or looks_for_twins
            raise

    async def _sweep(self) -> None:
        last, first = "", True
        while True:
            ids = await self._reads.page(last, SWEEP_PAGE)
            if ids or first:
                found = await self._reads.candidates(Candidates(set(ids)), is_sweep=True)
                if not first:
                    found.lists.clear()  # Lists are not paged.
                await self._repair(found, set())
            first = False
            if len(ids) < SWEEP_PAGE:
                break
            last = ids[-1]
        await self._repair(Candidates(), await self._reads.duplicate_occurrences())

    # --- repairing -----------------------------------------------------------------------------------------

    async def _repair(self, candidates: Candidates, series: set[str]) -> None:
        """Repair until the rules hold around these candidates; postpone what cannot be repaired now."""
        around = Candidates(candidates.tasks | series, candidates.lists)
        attempts: Counter[str] = Counter()
        while around:
            state = await self._reads.state(around)
            broken = violations(state)
            found = [each for each in broken if attempts[each.stream] < MAX_ATTEMPTS]
            if not found:
                self._postponed.add(broken)
                return
            attempts.update(each.stream for each in found)
            for first in range(0, len(found), MAX_REPAIRS):
                for busy in await self._repair_some(found[first : first + MAX_REPAIRS], around, state):
                    attempts[busy.stream] = MAX_ATTEMPTS

    async def _repair_some(
        self, found: Sequence[Violation], around: Candidates, state: StructureState
    ) -> Sequence[Violation]:
        """Repair these under the locks of all of them, or of halves; return those that have to wait.

        They wait while others hold the locks, or until an operator settles a parked record of the stream.
        """
        modes = _modes(found, state)
        try:
            held = await self._locks.acquire(modes, LOCK_TIMEOUT_S)
        except Unavailable:
            if len(found) == 1:
                return found
            middle = len(found) // 2
            first = await self._repair_some(found[:middle], around, state)
            return [*first, *await self._repair_some(found[middle:], around, state)]
        try:
            return await self._repair_locked(modes, around)
        finally:
            await held.release()

    async def _repair_locked(self, modes: LockModes, around: Candidates) -> Sequence[Violation]:
        """Append the repairs of remaining violations, and wait until they are in the read models.

        Return those whose streams are held: their repairs would be parked.
        """
        state = await self._reads.state(around)
        ready = [
            each for each in violations(state) if modes.get(each.stream) and each.involved <= modes.keys()
        ]
        held = await self._reads.held([each.stream for each in ready])
        waiting = [each for each in ready if each.stream in held]
        repairs = [
            repair
            for each in ready
            if each.stream not in held and (repair := repair_of(each, state)) is not None
        ]
        records = [record for repair in repairs for record in await self._records(repair, state)]
        if not records:
            return waiting
        for repair in repairs:
            log.warning("repairing", rule=repair.violation.rule, stream=repair.violation.stream)
        positions = await self._event_log.append(records)
        await self._until_projected(_ends(positions))
        return waiting

    async def _records(self, repair: Repair, state: StructureState) -> list[Record]:
        cause = await self._reads.cause(repair.violation.involved)
        stream = repair.violation.stream
        before = state.lists[stream.key] if stream.kind == "list" else state.tasks[stream.key]
        return repair_records(repair, before, cause, self._clock())

    async def _until_projected(self, ends: Mapping[int, int]) -> None:
        """Wait until the read models reach these ends of the log. Raise `Unavailable` after a time limit."""
        deadline_s = self._monotonic_s() + WAIT_LIMIT_S
        while True:
            projected = await self._reads.projected()
            if all(projected.get(partition, 0) >= end for partition, end in ends.items()):
                return
            if self._monotonic_s() > deadline_s:
                raise Unavailable("the read models are behind the log")
            await asyncio.sleep(POLL_S)


def _ends(positions: Sequence[Position]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for partition, offset in positions:
        ends[partition] = max(ends.get(partition, 0), offset + 1)
    return ends


def _modes(found: Sequence[Violation], state: StructureState) -> dict[str, bool]:
    """Return the locks for repairing: exclusive on changed streams, shared on those they depend on."""
    modes: dict[str, bool] = {}
    for violation in found:
        for stream in violation.involved:
            modes.setdefault(stream, False)
            task = state.tasks.get(stream.key)
            for above in ancestors(task, state.tasks) if task is not None else ():
                modes.setdefault(task_stream(above.id), False)
        modes[violation.stream] = True
    return modes
