"""Firing of reminders, with the log in memory and the read models on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.dates import format_time
from app.errors import Unavailable
from app.ids import derived_id
from app.lists.events import ListCreated, ListDeleted, ListRestored, MemberAdded
from app.log.fold import Folded
from app.log.records import Record
from app.positions import Position
from app.tasks.events import TaskCompleted, TaskCreated, TaskEdited, TaskReminded
from app.tasks.state import Task
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.read_models.reminders import BEGINNING, DUE, NEXT_DUE, Due, ReminderQueries
from streams.policies import reminders
from streams.policies.reminders import ReminderLoop, reminders_of
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.spec import HOME, LIST_ID, OTHER_LIST_ID, START, record_of, task_after
from tests.truth import check_read_models, emptied
from tests.waiting import eventually

PARTITIONS = 2
FOR_EVER = 10**9
HOUR = timedelta(hours=1)


class Log(MemoryEventLog):
    """A log in memory that can be made to fail, before or after writing, and to let others write first."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS, lambda: START)
        self.fails: list[str] = []
        self.first: list[Record] = []

    async def append(self, records: Sequence[Record], *, partition: int | None = None) -> list[Position]:
        fails = self.fails.pop() if self.fails else ""
        if fails == "before":
            raise Unavailable("the log is away")
        if self.first:
            others, self.first = self.first, []
            await super().append(others)
        positions = await super().append(records, partition=partition)
        if fails == "after":
            raise Unavailable("the log went away")
        return positions


@dataclass
class Place:
    """A log, read models, and a clock that is set by hand; a worker projects new records."""

    database: Database
    log: Log = field(default_factory=Log)
    now: datetime = START
    loops: list[ReminderLoop] = field(default_factory=list)
    running: list[asyncio.Task[None]] = field(default_factory=list)

    def loop(self, *partitions: int) -> ReminderLoop:
        """Return another worker's loop, for these partitions, or all of them."""
        assigned = frozenset(partitions or range(PARTITIONS))
        queries = ReminderQueries(self.database.pool)
        loop = ReminderLoop(queries, self.log, lambda: assigned, clock=lambda: self.now)
        self.loops.append(loop)
        return loop

    def run(self, *partitions: int) -> asyncio.Task[None]:
        """Run another worker's loop."""
        self.running.append(asyncio.create_task(self.loop(*partitions).run()))
        return self.running[-1]

    def project(self) -> None:
        """Start projecting new records."""
        for partition in range(PARTITIONS):
            self.running.append(asyncio.create_task(self._project(partition)))

    async def _project(self, partition: int) -> None:
        projector = Projector(self.database, self.log.read, None, [self._heard])
        first = (await projector.checkpoints([partition]))[partition].next_offset
        async for records in self.log.read(partition, first, FOR_EVER):
            await projector.project({partition: records})

    def _heard(self, *projected: Any) -> None:
        for loop in self.loops:
            loop.on_committed(*projected)

    async def projected(self) -> None:
        """Wait until all records of the log are projected."""

        async def is_projected() -> bool:
            rows = await self.database.pool.fetch("SELECT partition, next_offset FROM checkpoints")
            return {row["partition"]: row["next_offset"] for row in rows} == await self.log.ends()

        await eventually(is_projected)

    async def stop(self) -> None:
        """Stop everything."""
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        self.running.clear()

    async def settled(self) -> None:
        """Wait until nothing is due any more."""

        async def nothing_is_due() -> bool:
            query = 'SELECT count(*) FROM reminders WHERE "at" <= $1'
            return not await self.database.pool.fetchval(query, self.now)

        await self.projected()
        await eventually(nothing_is_due)
        await self.projected()

    async def task(self, *ats: datetime, **fields: Any) -> str:
        """Create a task with reminders at these times, and return its id."""
        task_id = str(uuid4())
        some = tuple({"at": at.isoformat()} for at in ats)
        created = TaskCreated(**{"list_id": LIST_ID, "title": "T", "reminders": some, **fields})
        await self.log.append([self.record(task_id, created, 1)])
        return task_id

    def record(self, task_id: str, event: Any, version: int) -> Record:
        """Return a record of a task's event, now."""
        return record_of(event, version, id=str(uuid4()), stream=f"task:{task_id}", time=self.now)

    def fired(self, outcome: str = "accepted") -> list[tuple[str, str, tuple[str, ...]]]:
        """Return task, instant and recipients of the log's reminders with this outcome."""
        found = [(each, each.record.data) for each in self._folded() if each.record is not None]
        return sorted(
            (each.raw.stream or "", event.at, event.notify)
            for each, event in found
            if isinstance(event, TaskReminded) and each.outcome == outcome
        )

    def written(self) -> list[str]:
        """Return the tasks with written reminders."""
        records = [raw.decode() for raw in self.log.records]
        return sorted(each.stream.key for each in records if isinstance(each.data, TaskReminded))

    def _folded(self) -> list[Folded]:
        return fold_log(self.log.records)[1]

    async def check(self) -> None:
        """Check that the read models are the fold of the log, and that no reminder fired twice."""
        fold, outcome = fold_log(self.log.records)
        await check_read_models(self.database, fold.states.values(), outcome)
        notified = [each[:2] for each in self.fired()]
        assert len(set(notified)) == len(notified)


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    schema = f"r_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    opened = await open_database(database_url, schema, pool_size=6)
    yield opened
    await opened.close()


@pytest.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    place = Place(await emptied(database))
    await place.log.append([of_list(ListCreated("Home"), 1)])
    yield place
    await place.stop()


def of_list(event: Any, version: int) -> Record:
    """Return a record of the list's events."""
    return record_of(event, version, id=f"list-{version}")


def key(task_id: str, at: datetime, *notify: str) -> tuple[str, str, tuple[str, ...]]:
    """Return a reminder as in `Place.fired`."""
    return (f"task:{task_id}", format_time(at), notify)


async def test_due_reminder_fires_and_others_do_not(place: Place) -> None:
    """At its time, for the creator of the task."""
    place.project()
    place.run()
    task = await place.task(START + HOUR, START + 2 * HOUR)
    await place.projected()
    assert place.fired() == []
    place.now = START + HOUR
    await place.settled()
    assert place.fired() == [key(task, START + HOUR, "alice")]
    [event] = [
        each.record for each in fold_log(place.log.records)[1] if each.record and each.record.version == 2
    ]
    assert (event.actor, event.source, event.time) == ("tasktape", "/tasktape/policy/reminders", place.now)
    await place.check()


async def test_earlier_reminder_wakes_the_loop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not sleep until its next poll."""
    monkeypatch.setattr(reminders, "POLL_S", 60.0)
    place.project()
    await place.projected()
    place.run()
    task = await place.task(START)
    await eventually(lambda: place.fired() == [key(task, START, "alice")])


async def test_many_reminders_of_one_task_fire_one_after_the_other(place: Place) -> None:
    """As after a long outage: each once, each decided on the state after the previous one."""
    task = await place.task(*(START + n * HOUR for n in range(1, 8)))
    place.now = START + 5 * HOUR
    place.project()
    place.run()
    await place.settled()
    assert place.fired() == [key(task, START + n * HOUR, "alice") for n in range(1, 6)]
    assert place.fired("superseded") == []
    await place.check()


async def test_reminders_of_a_deleted_list_fire_when_it_is_restored(place: Place) -> None:
    """Those due within a day, as after an outage; earlier ones were settled without a notification."""
    old = await place.task(START + HOUR)
    recent = await place.task(START + 20 * HOUR, START + 21 * HOUR)
    later = await place.task(START + 40 * HOUR)
    elsewhere = record_of(ListCreated("Work"), 1, id="elsewhere", stream=f"list:{OTHER_LIST_ID}")
    await place.log.append([of_list(ListDeleted(), 2), elsewhere])
    place.now = START + 24 * HOUR
    place.project()
    await place.projected()
    place.run()
    other = await place.task(place.now, list_id=OTHER_LIST_ID)
    await eventually(lambda: place.written() == [other])
    place.now = START + 25 * HOUR + timedelta(seconds=1)
    await eventually(lambda: place.written() == sorted([old, other]))
    await place.log.append([of_list(ListRestored(), 3)])
    await place.settled()
    assert place.fired() == sorted(
        [
            key(old, START + HOUR),
            key(other, START + 24 * HOUR, "alice"),
            key(recent, START + 20 * HOUR, "alice"),
            key(recent, START + 21 * HOUR, "alice"),
        ]
    )
    place.now = START + 40 * HOUR
    await place.settled()
    assert key(later, START + 40 * HOUR, "alice") in place.fired()
    await place.check()


async def test_lost_race_is_decided_again(place: Place) -> None:
    """The task is reassigned at the same moment: the reminder goes to the new assignee."""
    await place.log.append([of_list(MemberAdded("bob", "editor"), 2)])
    task = await place.task(START + HOUR)
    place.project()
    await place.projected()
    place.log.first = [place.record(task, TaskEdited({"assignees": ("bob",)}), 2)]
    place.now = START + HOUR
    place.run()
    await place.settled()
    assert place.fired() == [key(task, START + HOUR, "bob")]
    assert place.fired("superseded") == [key(task, START + HOUR, "alice")]
    await place.check()


async def test_task_completed_at_the_same_moment_does_not_remind(place: Place) -> None:
    """If its event is first."""
    done, open_ = await place.task(START + HOUR), await place.task(START + HOUR)
    place.project()
    await place.projected()
    place.log.first = [place.record(done, TaskCompleted(), 2)]
    place.now = START + HOUR
    place.run()
    await place.settled()
    assert place.fired() == [key(open_, START + HOUR, "alice")]
    await place.check()


async def test_two_loops_of_one_partition_fire_once(place: Place) -> None:
    """The fold accepts one event of each reminder."""
    tasks = [await place.task(START + HOUR) for _ in range(50)]
    place.project()
    await place.projected()
    place.now = START + HOUR
    place.run()
    place.run()
    await place.settled()
    assert place.fired() == sorted(key(task, START + HOUR, "alice") for task in tasks)
    await place.check()


async def test_reminders_above_the_bound_of_a_sweep_fire_in_pieces(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task once in a sweep, and each reminder once in the end."""
    monkeypatch.setattr(reminders, "BATCH", 3)
    monkeypatch.setattr(reminders, "SWEEP_MOST", 7)
    tasks = [await place.task(START + HOUR, START + 2 * HOUR) for _ in range(20)]
    place.project()
    await place.projected()
    place.now = START + 3 * HOUR
    place.run()
    await place.settled()
    expected = [key(task, START + n * HOUR, "alice") for task in tasks for n in (1, 2)]
    assert place.fired() == sorted(expected)
    assert place.fired("superseded") == []
    await place.check()


async def test_each_loop_fires_for_the_partitions_of_its_worker(place: Place) -> None:
    """Two workers share the work."""
    tasks = [await place.task(START + HOUR) for _ in range(20)]
    place.project()
    await place.projected()
    place.now = START + HOUR
    place.run(0)
    in_0 = [raw.stream for raw in place.log.records if raw.position.partition == 0]
    mine = sorted(key(task, START + HOUR, "alice") for task in tasks if f"task:{task}" in in_0)
    await eventually(lambda: place.fired() == mine)
    place.run(1)
    await place.settled()
    assert place.fired() == sorted(key(task, START + HOUR, "alice") for task in tasks)
    assert place.fired("superseded") == []


@pytest.mark.parametrize("fails", ["before", "after"])
async def test_unavailable_log_repeats_nothing(
    place: Place, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the record written before, or not."""
    monkeypatch.setattr(reminders, "RETRY_FIRST_S", 0.01)
    task = await place.task(START + HOUR)
    place.project()
    await place.projected()
    place.log.fails = [fails] * 3
    place.now = START + HOUR
    place.run()
    await place.settled()
    assert place.fired() == [key(task, START + HOUR, "alice")]
    await place.check()


async def test_nothing_fires_before_the_read_models_have_caught_up(place: Place) -> None:
    """Members added and tasks completed before count."""
    done, given = await place.task(START + HOUR), await place.task(START + HOUR)
    place.project()
    await place.projected()
    await place.stop()
    await place.log.append(
        [
            of_list(MemberAdded("bob", "editor"), 2),
            place.record(given, TaskEdited({"assignees": ("bob",)}), 2),
            place.record(done, TaskCompleted(), 2),
        ]
    )
    place.now = START + HOUR
    place.run()
    place.project()
    await place.settled()
    assert place.fired() == [key(given, START + HOUR, "bob")]
    assert place.fired("superseded") == []


async def test_unprojected_partitions_delay_the_others_only_for_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have members of lists."""
    monkeypatch.setattr(reminders, "OTHERS_LIMIT_S", 0.2)
    tasks = [await place.task(START + HOUR) for _ in range(20)]
    await Projector(place.database, place.log.read, None).catch_up(0, (await place.log.ends())[0])
    in_0 = [raw.stream for raw in place.log.records if raw.position.partition == 0]
    mine = [task for task in tasks if f"task:{task}" in in_0]
    place.now = START + HOUR
    place.run(0)
    await eventually(lambda: place.written() == sorted(mine))
    assert 0 < len(mine) < len(tasks)


async def test_refused_reminder_is_retried_with_growing_pauses(place: Place) -> None:
    """Another event has its id already: it delays no others, and is no tight loop."""
    stuck, fine = await place.task(START + HOUR), await place.task(START + HOUR)
    id_ = derived_id("reminded", stuck, format_time(START + HOUR))
    await place.log.append([replace(place.record(stuck, TaskEdited({"title": "U"}), 2), id=id_)])
    place.project()
    await place.projected()
    place.now = START + HOUR
    started_s = time.monotonic()
    place.run()
    await eventually(lambda: place.written().count(stuck) == 4)
    # At once, at once again, after 0.2 s and after 0.4 s.
    assert time.monotonic() - started_s > 0.5
    assert place.fired() == [key(fine, START + HOUR, "alice")]


@pytest.mark.parametrize(
    ("sql", "arguments"),
    [(NEXT_DUE, ([0, 1], START, START)), (DUE, (0, START, START, *BEGINNING, 500))],
    ids=["next", "due"],
)
async def test_due_reminders_are_found_by_index(
    database: Database, sql: str, arguments: tuple[object, ...]
) -> None:
    """However many there are for later."""
    async with database.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *arguments))
    assert "using reminders_by_time" in plan
    assert "Sort" not in plan


# --- what is decided -------------------------------------------------------------------------------------


def due(task: Task, home: Any, at: datetime = START + HOUR) -> list[Due]:
    """Return a task found with a due reminder."""
    return [Due(at, task, home)]


def owned(*assignees: str) -> Task:
    """Return a task of alice's with a reminder."""
    at = {"at": (START + HOUR).isoformat()}
    return task_after(TaskCreated(LIST_ID, "T", assignees=assignees, reminders=(at,)))  # type: ignore[arg-type]


def recipients_of(found: list[Record]) -> list[tuple[str, ...]]:
    """Return the recipients of these records."""
    return [record.data.notify for record in found if isinstance(record.data, TaskReminded)]


def test_responsible_members_are_notified() -> None:
    """The assignees, else the creator; nobody if none is a member any more: then it is settled."""
    now = START + HOUR
    assert recipients_of(reminders_of(due(owned(), HOME), now)) == [("alice",)]
    assert recipients_of(reminders_of(due(owned("alice", "eve"), HOME), now)) == [("alice",)]
    assert recipients_of(reminders_of(due(owned("eve"), HOME), now)) == [("alice",)]
    assert recipients_of(reminders_of(due(owned("eve"), replace(HOME, members={"bob": "owner"})), now)) == [
        ()
    ]


def test_reminders_of_a_deleted_list_are_settled_silently() -> None:
    gone = replace(HOME, deleted_at=START)
    assert recipients_of(reminders_of(due(owned(), gone), START + HOUR)) == [()]


def test_missing_list_is_awaited_for_a_while() -> None:
    """It is in another partition, which may be behind."""
    at = START + HOUR
    assert reminders_of(due(owned(), None), at + reminders.LIST_LIMIT) == []
    assert recipients_of(reminders_of(due(owned(), None), at + 2 * reminders.LIST_LIMIT)) == [()]


def test_outdated_row_fires_nothing() -> None:
    """For example if the rules of its time zone changed: it fires at the current time."""
    assert reminders_of(due(owned(), HOME), START) == []
    assert reminders_of(due(task_after(TaskCreated(LIST_ID, "T")), HOME), START + HOUR) == []
