"""Activity feed read page by page from the audit, compared with the fold of the log."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.activity import Group, grouped, window_of
from app.lists.events import ListCreated, MemberAdded
from app.log.fold import Folded
from app.tasks.events import TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskMoved, TaskReopened
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.queries.activity import ActivityQueries, Bounds, Cut, FeedPage
from tests.feeds import feed_of
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.spec import START, record_of

PARTITIONS = 3
LISTS = [str(UUID(int=1 << 120 | number)) for number in range(4)]
"""All are bob's, and the first two are alice's, too."""
IMPORT = "/tasktape/import/bob"
SMALL = Bounds(first_entries=5, most_entries=40, first_depth=3)
"""So that everything grows, and that the import is more than fits."""


class Happening:
    """A log that is written over time."""

    def __init__(self) -> None:
        self.now = START
        self.log = MemoryEventLog(PARTITIONS, self._clock)
        self.chance = random.Random(5)
        self._versions: dict[str, int] = {}

    def _clock(self) -> datetime:
        return self.now

    async def __call__(self, stream: str, event: Any, actor: str, source: str = "/tasktape/api") -> None:
        """Append an event, within ten minutes after the previous one."""
        self.now += timedelta(seconds=0 if source == IMPORT else self.chance.randrange(600))
        version = self._versions[stream] = self._versions.get(stream, 0) + 1
        given = {"id": str(uuid4()), "stream": stream, "actor": actor, "source": source}
        await self.log.append([record_of(event, version, **given)])


async def eventful_log() -> MemoryEventLog:
    """Return two days of two users; in between one of them imports tasks of many others."""
    happen = Happening()
    chance = happen.chance
    for list_id in LISTS:
        await happen(f"list:{list_id}", ListCreated("A list"), "bob")
    for list_id in LISTS[:2]:
        await happen(f"list:{list_id}", MemberAdded("alice", "editor"), "bob")
    for number in range(100):
        stream, actor = f"task:{UUID(int=2 << 120 | number)}", chance.choice(["alice", "bob"])
        await happen(stream, TaskCreated(chance.choice(LISTS), f"task {number}"), actor)
        for event in chance.sample(
            [
                TaskEdited({"title": f"new {number}"}),
                TaskMoved(chance.choice(LISTS), rank="0123456789abcd"),
                TaskCompleted(),
                TaskReopened(),
                TaskDeleted(),
            ],
            k=chance.randrange(4),
        ):
            await happen(stream, event, chance.choice(["alice", "bob"]))
        if number == 50:
            await import_tasks(happen)
    return happen.log


async def import_tasks(happen: Happening) -> None:
    for number in range(60):
        stream = f"task:{UUID(int=3 << 120 | number)}"
        await happen(stream, TaskCreated(LISTS[0], f"imported {number}"), f"other {number}", IMPORT)
        await happen(stream, TaskCompleted(), f"other {number}", IMPORT)


@pytest.fixture(scope="module")
async def log() -> MemoryEventLog:
    """Return the eventful log."""
    return await eventful_log()


@pytest.fixture(scope="module")
async def database(database_url: str, log: MemoryEventLog) -> AsyncIterator[Database]:
    """Yield tables of that log."""
    schema = f"m_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    database = await open_database(database_url, schema, pool_size=2)
    projector = Projector(database, log.read, None)
    for partition, end in (await log.ends()).items():
        await projector.catch_up(partition, end)
    yield database
    await database.close()


def folded(log: MemoryEventLog) -> list[Folded]:
    """Return the outcome of each record."""
    return fold_log(log.records)[1]


async def pages(
    queries: ActivityQueries, user: str, *, limit: int, list_id: str | None = None, actor: str | None = None
) -> list[Group]:
    """Return all groups, read page by page."""
    found: list[Group] = []
    start: Cut | None = None
    for _ in range(1000):
        page = await queries.page(user, list_id=list_id, actor=actor, start=start, limit=limit)
        assert page is not None
        assert len(page.groups) <= limit
        found += page.groups
        if page.end is None:
            return found
        start = page.end
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize(("user", "lists"), [("alice", LISTS[:2]), ("bob", LISTS), ("carol", [])])
@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_pages_are_the_groups_of_the_fold(
    database: Database, log: MemoryEventLog, user: str, lists: list[str], limit: int
) -> None:
    """For any page size: each group once and complete, in order, of all lists that the user sees."""
    assert await pages(ActivityQueries(database.pool), user, limit=limit) == grouped(
        feed_of(folded(log), lists)
    )


@pytest.mark.parametrize("list_id", LISTS[:2])
async def test_feed_of_one_list(database: Database, log: MemoryEventLog, list_id: str) -> None:
    """With events that moved tasks out of it; a list of others has none."""
    queries = ActivityQueries(database.pool)
    groups = await pages(queries, "alice", limit=4, list_id=list_id)
    assert groups == grouped(feed_of(folded(log), [list_id]))
    assert {"task.moved_in", "task.moved_out"} < {group.type for group in groups}
    for other in (LISTS[2], str(uuid4())):
        assert await queries.page("alice", list_id=other, actor=None, start=None, limit=4) is None


@pytest.mark.parametrize("actor", ["alice", "bob", "other 7", "nobody"])
async def test_feed_of_one_actor(database: Database, log: MemoryEventLog, actor: str) -> None:
    """Their groups and no others; for an unknown one none, and the pages end all the same."""
    groups = await pages(ActivityQueries(database.pool), "alice", limit=3, actor=actor)
    assert groups == [group for group in grouped(feed_of(folded(log), LISTS[:2])) if group.actor == actor]


@pytest.mark.parametrize("actor", [None, "alice", "bob", "nobody"])
@pytest.mark.parametrize("limit", [1, 2, 7, 200])
async def test_hour_of_too_many_events_is_split(
    database: Database, log: MemoryEventLog, actor: str | None, limit: int
) -> None:
    """At the same places for any page size; nothing is lost or repeated, and all other groups are
    complete."""
    groups = await pages(ActivityQueries(database.pool, SMALL), "alice", limit=limit, actor=actor)
    hours = [list(hour) for _, hour in groupby(feed_of(folded(log), LISTS[:2]), window_of)]
    pieces = [hour[at : at + SMALL.most_entries] for hour in hours for at in range(0, len(hour), 40)]
    assert len(pieces) == len(hours) + 1
    received = [group for piece in pieces for group in grouped(piece)]
    assert groups == [group for group in received if actor in (None, group.actor)]


async def test_later_events_are_not_on_later_pages(database: Database) -> None:
    """A cut refers to the log as it was; a cut beyond the log is limited to it."""
    queries = ActivityQueries(database.pool)
    first = await page_of(queries, None, limit=2)
    assert first.end is not None
    ahead = Cut({0: 10**12, 7: 5, **dict.fromkeys(range(1, PARTITIONS), 2**62)}, None)
    again = await page_of(queries, ahead, limit=2)
    assert (again.groups, again.end) == (first.groups, first.end)
    nothing = await page_of(queries, Cut({}, None), limit=2)
    assert (nothing.groups, nothing.end) == ([], None)


async def test_newest_events_of_each_group_are_included(database: Database) -> None:
    """Five at most, with the title that the task had then."""
    page = await page_of(ActivityQueries(database.pool), None, limit=200)
    for group in page.groups:
        for entry in group.entries[:5]:
            shown = page.shown[entry.position]
            assert shown.event.stream == entry.stream
            assert shown.title.startswith(("task ", "new ", "imported ", "A list"))
    assert len(page.shown) == sum(min(5, len(group.entries)) for group in page.groups)


async def page_of(queries: ActivityQueries, start: Cut | None, limit: int) -> FeedPage:
    page = await queries.page("alice", list_id=None, actor=None, start=start, limit=limit)
    assert page is not None
    return page


async def test_clock_set_back_loses_nothing(database_url: str) -> None:
    """Records keep their place in their partition, and each is shown once."""
    happen = Happening()
    await happen(f"list:{LISTS[0]}", ListCreated("A list"), "bob")
    for number in range(40):
        happen.now += timedelta(hours=happen.chance.randrange(-3, 4))
        await happen(f"task:{UUID(int=2 << 120 | number)}", TaskCreated(LISTS[0], f"task {number}"), "bob")
    schema = f"m_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    database = await open_database(database_url, schema, pool_size=1)
    projector = Projector(database, happen.log.read, None)
    for partition, end in (await happen.log.ends()).items():
        await projector.catch_up(partition, end)
    try:
        for limit in (1, 4):
            groups = await pages(ActivityQueries(database.pool, SMALL), "bob", limit=limit)
            places = [entry.position for group in groups for entry in group.entries]
            assert sorted(places) == sorted(
                entry.position for entry in feed_of(fold_log(happen.log.records)[1], LISTS[:1])
            )
    finally:
        await database.close()
