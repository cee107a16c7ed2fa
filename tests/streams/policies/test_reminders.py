"""Firing reminders, with the log in memory and the read models on a real PostgreSQL."""

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
    """A log in memory that can be told to fail, before or after writing, and to let others be first."""

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
    """A log, read models, and a clock that is set by hand; a worker projects whatever comes."""

    database: Database
    log: Log = field(default_factory=Log)
    now: datetime = START
    loops: list[ReminderLoop] = field(default_factory=list)
    running: list[asyncio.Task[None]] = field(default_factory=list)

    def loop(self, *partitions: int) -> ReminderLoop:
        """One more worker's loop, for these partitions, or all of them."""
        assigned = frozenset(partitions or range(PARTITIONS))
        queries = ReminderQueries(self.database.pool)
        loop = ReminderLoop(queries, self.log, lambda: assigned, clock=lambda: self.now)
        self.loops.append(loop)
        return loop

    def run(self, *partitions: int) -> asyncio.Task[None]:
        """Let one more worker's loop run."""
        self.running.append(asyncio.create_task(self.loop(*partitions).run()))
        return self.running[-1]

    def project(self) -> None:
        """Let whatever comes be projected."""
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
        """Wait until all is projected that is in the log."""

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
        """Wait until nothing is due any longer."""

        async def nothing_is_due() -> bool:
            query = 'SELECT count(*) FROM reminders WHERE "at" <= $1'
            return not await self.database.pool.fetchval(query, self.now)

        await self.projected()
        await eventually(nothing_is_due)
        await self.projected()

    async def task(self, *ats: datetime, **fields: Any) -> str:
        """A task with reminders at these times; returns its id."""
        task_id = str(uuid4())
        some = tuple({"at": at.isoformat()} for at in ats)
        created = TaskCreated(**{"list_id": LIST_ID, "title": "T", "reminders": some, **fields})
        await self.log.append([self.record(task_id, created, 1)])
        return task_id

    def record(self, task_id: str, event: Any, version: int) -> Record:
        """A record of a task's event, now."""
        return record_of(event, version, id=str(uuid4()), stream=f"task:{task_id}", time=self.now)

    def fired(self, outcome: str = "accepted") -> list[tuple[str, str, tuple[str, ...]]]:
        """Task, instant and those who were told, of the reminders with this outcome, as the log says."""
        found = [(each, each.record.data) for each in self._folded() if each.record is not None]
        return sorted(
            (each.raw.stream or "", event.at, event.notify)
            for each, event in found
            if isinstance(event, TaskReminded) and each.outcome == outcome
        )

    def written(self) -> list[str]:
        """The tasks that reminders were written of."""
        records = [raw.decode() for raw in self.log.records]
        return sorted(each.stream_key for each in records if isinstance(each.data, TaskReminded))

    def _folded(self) -> list[Folded]:
        return fold_log(self.log.records)[1]

    async def check(self) -> None:
        """The read models are the fold of the log, and no reminder fired twice."""
        fold, outcome = fold_log(self.log.records)
        await check_read_models(self.database, fold.states.values(), outcome)
        told = [each[:2] for each in self.fired()]
        assert len(set(told)) == len(told)


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
    """A record of the list's events."""
    return record_of(event, version, id=f"list-{version}")


def key(task_id: str, at: datetime, *notify: str) -> tuple[str, str, tuple[str, ...]]:
    """A reminder, as `Place.fired` has it."""
    return (f"task:{task_id}", format_time(at), notify)


async def test_what_is_due_fires_and_what_is_not_does_not(place: Place) -> None:
    """At its time, to the one who created the task."""
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


async def test_an_earlier_reminder_wakes_the_loop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not sleep until the next look, whatever comes meanwhile."""
    monkeypatch.setattr(reminders, "POLL_S", 60.0)
    place.project()
    await place.projected()
    place.run()
    task = await place.task(START)
    await eventually(lambda: place.fired() == [key(task, START, "alice")])


async def test_many_reminders_of_one_task_fire_one_after_the_other(place: Place) -> None:
    """As after a long night: each once, each decided on what the one before had made of the task."""
    task = await place.task(*(START + n * HOUR for n in range(1, 8)))
    place.now = START + 5 * HOUR
    place.project()
    place.run()
    await place.settled()
    assert place.fired() == [key(task, START + n * HOUR, "alice") for n in range(1, 6)]
    assert place.fired("superseded") == []
    await place.check()


async def test_what_comes_due_in_a_deleted_list_fires_when_it_is_restored(place: Place) -> None:
    """What came due within a day, as after a pause; what came due before was settled, and nobody is told."""
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


async def test_what_lost_a_race_is_decided_again_on_what_won_it(place: Place) -> None:
    """Somebody gives the task away in the very moment: the reminder goes to whom it is given to."""
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


async def test_what_is_done_in_the_very_moment_reminds_of_nothing(place: Place) -> None:
    """Whoever was first decides."""
    done, open_ = await place.task(START + HOUR), await place.task(START + HOUR)
    place.project()
    await place.projected()
    place.log.first = [place.record(done, TaskCompleted(), 2)]
    place.now = START + HOUR
    place.run()
    await place.settled()
    assert place.fired() == [key(open_, START + HOUR, "alice")]
    await place.check()


async def test_two_loops_that_both_think_it_is_theirs(place: Place) -> None:
    """The fold takes one event of each reminder."""
    tasks = [await place.task(START + HOUR) for _ in range(50)]
    place.project()
    await place.projected()
    place.now = START + HOUR
    place.run()
    place.run()
    await place.settled()
    assert place.fired() == sorted(key(task, START + HOUR, "alice") for task in tasks)
    await place.check()


async def test_more_than_a_sweep_takes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces, each task once in a sweep, and each reminder once in the end."""
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


async def test_each_loop_fires_what_its_worker_projects(place: Place) -> None:
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
async def test_a_log_that_is_away(place: Place, fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it had been written or not: once."""
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
    """Whoever joined the list, or finished the task, while nobody projected is minded."""
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


async def test_partitions_that_nobody_projects_do_not_hold_up_the_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are waited for, as lists' members lie there; but not for long."""
    monkeypatch.setattr(reminders, "OTHERS_LIMIT_S", 0.2)
    tasks = [await place.task(START + HOUR) for _ in range(20)]
    await Projector(place.database, place.log.read, None).catch_up(0, (await place.log.ends())[0])
    in_0 = [raw.stream for raw in place.log.records if raw.position.partition == 0]
    mine = [task for task in tasks if f"task:{task}" in in_0]
    place.now = START + HOUR
    place.run(0)
    await eventually(lambda: place.written() == sorted(mine))
    assert 0 < len(mine) < len(tasks)


async def test_what_can_never_be_accepted_is_tried_less_and_less(place: Place) -> None:
    """Somebody's own event has the id already: that holds up nobody else, and is no tight loop."""
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
async def test_what_is_due_is_found_by_its_index(
    database: Database, sql: str, arguments: tuple[object, ...]
) -> None:
    """However many reminders there are for later."""
    async with database.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *arguments))
    assert "using reminders_by_time" in plan
    assert "Sort" not in plan


# --- what is decided -------------------------------------------------------------------------------------


def due(task: Task, home: Any, at: datetime = START + HOUR) -> list[Due]:
    """A task that was found to have a due reminder."""
    return [Due(at, task, home)]


def owned(*assignees: str) -> Task:
    """A task of alice's with a reminder."""
    at = {"at": (START + HOUR).isoformat()}
    return task_after(TaskCreated(LIST_ID, "T", assignees=assignees, reminders=(at,)))  # type: ignore[arg-type]


def told(found: list[Record]) -> list[tuple[str, ...]]:
    """Who is told by these records."""
    return [record.data.notify for record in found if isinstance(record.data, TaskReminded)]


def test_members_who_are_responsible_are_told() -> None:
    """The assignees, else the creator; nobody, if none is a member any longer: then it is settled."""
    now = START + HOUR
    assert told(reminders_of(due(owned(), HOME), now)) == [("alice",)]
    assert told(reminders_of(due(owned("alice", "eve"), HOME), now)) == [("alice",)]
    assert told(reminders_of(due(owned("eve"), HOME), now)) == [("alice",)]
    assert told(reminders_of(due(owned("eve"), replace(HOME, members={"bob": "owner"})), now)) == [()]


def test_a_list_that_stays_deleted_is_silent() -> None:
    """Its reminders are settled in the end, and nobody hears of them."""
    gone = replace(HOME, deleted_at=START)
    assert told(reminders_of(due(owned(), gone), START + HOUR)) == [()]


def test_a_list_that_is_not_there_yet_is_waited_for() -> None:
    """It lies in another partition, which may be behind; but not for ever."""
    at = START + HOUR
    assert reminders_of(due(owned(), None), at + reminders.LIST_LIMIT) == []
    assert told(reminders_of(due(owned(), None), at + 2 * reminders.LIST_LIMIT)) == [()]


def test_a_row_that_is_not_true_any_longer_fires_nothing() -> None:
    """Such as one whose time zone has other rules since: it fires at the time that holds now."""
    assert reminders_of(due(owned(), HOME), START) == []
    assert reminders_of(due(task_after(TaskCreated(LIST_ID, "T")), HOME), START + HOUR) == []
