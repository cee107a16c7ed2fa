"""The reminders policy: a worker fires the due reminders of the partitions that it projects.

Only the log determines what has fired: a reminder is done when its `task.reminded` is folded, which removes
it from the read model. Until then it is decided again, on the newest state. The event's id follows from the
task and the instant, and its version from the state it was decided on. Of two workers that fire the same
reminder, or one that is killed in the middle and fires it again, the fold therefore accepts one event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from app.dates import format_time
from app.ids import derived_id
from app.log.ports import Clock, EventLog
from app.log.records import Record, source_of
from app.stream_ids import task_stream
from app.tasks.commands import RemindOfTask
from app.tasks.decide import decide
from app.tasks.decision_context import DecisionContext
from app.tasks.reminders import pending
from app.tasks.state import Task
from projections.batches import Batch
from projections.read_models.projected import Projected
from projections.read_models.reminders import BEGINNING, Due, Place, ReminderQueries
from streams.backoff import Backoff
from streams.projection_loop import WAIT_FOR
from streams.supervised_loop import SupervisedLoop

log = structlog.get_logger()

ACTOR = "tasktape"
SOURCE = source_of("policy", "reminders")
POLL_S = 0.5
"""The maximal time between two rounds: workers come and go, and their partitions with them."""
PAUSE_S = 0.02
"""The time for which notifications are gathered before a round."""
BATCH = 500
"""The number of reminders that are read, and of events that are written, at once."""
SWEEP_MOST = 10_000
"""The number of a partition's tasks to remind of before these reminders must be projected."""
OTHERS_LIMIT_S = 10.0
"""The time to wait for other workers to project their partitions, which contain the lists' members."""
LIST_LIMIT = timedelta(minutes=1)
"""A list that is still missing so long after a reminder in it was due does not exist."""
RESTORE_LIMIT = timedelta(days=1)
"""The time for which a reminder that falls due in a deleted list waits for the list to be restored.

Then it is settled, and nobody is notified. A restored list therefore sends the reminders of one day at most,
however long it was deleted.
"""
RETRY_FIRST_S = 0.2
RETRY_MOST_S = 1.0
"""The longest pause while Postgres or Kafka is unavailable: due reminders are late already."""
AGAIN_MOST_S = 30.0
"""The longest pause after an event that was not accepted; the first retry is immediate."""


class Attempts(NamedTuple):
    """The number of attempts at an event, and the time of the next one, by the monotonic clock."""

    times: int
    not_before_s: float


class ReminderLoop:
    """The loop of the policy; it runs until it is cancelled. `assigned` returns this worker's partitions."""

    def __init__(
        self,
        queries: ReminderQueries,
        event_log: EventLog,
        assigned: Callable[[], frozenset[int]],
        *,
        clock: Clock,
    ) -> None:
        self._queries = queries
        self._event_log = event_log
        self._assigned = assigned
        self._clock = clock
        self._news = asyncio.Event()
        self._known: frozenset[int] = frozenset()
        self._known_since_s = 0.0
        # Partition → the log's end when partitions were assigned, until it is projected.
        self._behind: dict[int, int] = {}
        # Partition → the offset of our last event there, until it is projected.
        self._fired: dict[int, int] = {}
        self._attempts: dict[int, dict[str, Attempts]] = {}

    def on_committed(self, _batch: Batch, projected: Sequence[Projected]) -> None:
        """Record what was projected (see `Projector`): a new reminder may be due before all others."""
        if any(isinstance(each.folded.after, Task) and each.folded.after.reminders for each in projected):
            self._news.set()

    async def run(self) -> None:
        """Fire what is due, for ever. Wait while Postgres or Kafka is unavailable."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        supervised = SupervisedLoop(backoff, WAIT_FOR, waiting="reminders wait", failed="reminders failed")
        await supervised.run(self._step)

    async def _step(self) -> None:
        self._news.clear()
        await self._sleep(await self._round())

    async def _sleep(self, wait_s: float) -> None:
        """Wait for so many seconds, or until something was projected."""
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
                await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            pass

    async def _round(self) -> float:
        """Fire what is due now; return the seconds until the next round."""
        partitions = await self._ready()
        now = self._clock()
        upcoming = await self._queries.next_due(sorted(partitions), now, now - RESTORE_LIMIT)
        due = [partition for partition, at in upcoming.items() if at <= now]
        for partition in due:
            await self._sweep(partition, now)
        if due or not upcoming:
            return POLL_S
        return min(POLL_S, (min(upcoming.values()) - self._clock()).total_seconds())

    # --- when it is our turn -----------------------------------------------------------------------------

    async def _ready(self) -> frozenset[int]:
        """Return the assigned partitions whose read models have everything that firing depends on.

        That is the log's content when they were assigned, and then our own events.
        """
        assigned = self._assigned()
        if assigned - self._known:
            self._behind = dict(await self._event_log.ends())
            self._known_since_s = time.monotonic()
        self._known = assigned
        if not self._behind and not self._fired:
            return assigned
        reached = await self._queries.positions()
        patient = time.monotonic() - self._known_since_s < OTHERS_LIMIT_S
        self._behind = {
            partition: end
            for partition, end in self._behind.items()
            if reached.get(partition, -1) < end - 1 and (patient or partition in assigned)
        }
        self._fired = {
            partition: offset
            for partition, offset in self._fired.items()
            if reached.get(partition, -1) < offset
        }
        return frozenset() if self._behind else assigned - self._fired.keys()

    # --- firing ------------------------------------------------------------------------------------------

    async def _sweep(self, partition: int, now: datetime) -> None:
        """Fire what is due in a partition, one reminder per task: the next ones follow from its new state."""
        before, self._attempts[partition] = self._attempts.get(partition, {}), {}
        place: Place | None = BEGINNING
        seen: set[str] = set()
        while place is not None and len(seen) < SWEEP_MOST:
            page = await self._queries.due(partition, now, now - RESTORE_LIMIT, place, BATCH)
            fresh = [due for due in page.items if due.task.id not in seen]
            seen.update(due.task.id for due in fresh)
            await self._fire(self._allowed(partition, before, reminders_of(fresh, now)))
            place = page.end

    async def _fire(self, records: Sequence[Record]) -> None:
        if not records:
            return
        for partition, offset in await self._event_log.append(records):
            self._fired[partition] = max(offset, self._fired.get(partition, -1))
        log.info("reminded", reminders=len(records))

    def _allowed(
        self, partition: int, before: dict[str, Attempts], records: Iterable[Record]
    ) -> list[Record]:
        """Return the records to try now: immediately after a lost race, then after increasing pauses."""
        now_s, attempts = time.monotonic(), self._attempts[partition]
        allowed: list[Record] = []
        for record in records:
            times, not_before_s = before.get(record.id, (0, 0.0))
            if now_s < not_before_s:
                attempts[record.id] = before[record.id]
                continue
            pause_s = Backoff(RETRY_FIRST_S, AGAIN_MOST_S).length_s(times) if times else 0.0
            attempts[record.id] = Attempts(times + 1, now_s + pause_s)
            allowed.append(record)
        return allowed


def reminders_of(tasks: Iterable[Due], now: datetime) -> list[Record]:
    """Return the event of the first due reminder of each of these tasks, for those that have one.

    A task whose list does not exist yet has to wait. For a task whose list stays deleted nobody is notified:
    its reminder is settled.
    """
    records = (_reminder_of(due, now) for due in tasks if due.home or now - due.at > LIST_LIMIT)
    return [record for record in records if record is not None]


def _reminder_of(due: Due, now: datetime) -> Record | None:
    task, home = due.task, due.home
    instant = next(iter(pending(task)), None)
    if instant is None or instant > format_time(now):
        return None
    seen = home if home is not None and home.deleted_at is None else None
    event = decide(RemindOfTask(at=instant), task, DecisionContext(ACTOR, now, seen))
    assert event is not None, "what is pending can be reminded of"
    return Record(
        id=derived_id("reminded", task.id, instant),
        stream=task_stream(task.id),
        version=task.version + 1,
        time=now,
        actor=ACTOR,
        source=SOURCE,
        data=event,
    )
