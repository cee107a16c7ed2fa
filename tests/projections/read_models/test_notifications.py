"""Notifications on a real PostgreSQL: the two halves of a row, visibility, and cost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.lists.events import ListCreated, MemberAdded, MemberRemoved
from app.log.records import RawRecord, Record
from app.tasks.events import (
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskRestored,
)
from app.users import AllNotificationsRead, NotificationsRead, NotificationsUnread
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.read_models import notifications as notification_queries
from projections.read_models.notifications import MAX_UNREAD, NotificationPage, NotificationQueries
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, OTHER_LIST_ID, START, TASK_ID, raw_of, record_of
from tests.thoroughness import examples
from tests.truth import check_read_models, emptied

SOME, MANY = 10_000, 100_000
C1, C2 = (f"20000000-0000-4000-8000-00000000000{n}" for n in (1, 2))
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
async def shared(database_url: str) -> AsyncIterator[Database]:
    schema = f"n_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 2))
    opened = await open_database(database_url, schema, pool_size=2, server_settings={"enable_seqscan": "off"})
    yield opened
    await opened.close()


@pytest.fixture
async def database(shared: Database) -> Database:
    return await emptied(shared)


def two_lists() -> list[Record]:
    """Return Alice's two lists, with bob as a member of both."""
    return [
        of_list(event, version, list_id)
        for list_id in (LIST_ID, OTHER_LIST_ID)
        for version, event in ((1, ListCreated(list_id[-1])), (2, MemberAdded("bob", "editor")))
    ]


class Story:
    """A task of alice's with notifications for bob, in lists that change."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = MemoryEventLog(1, lambda: START)
        self.queries = NotificationQueries(database.pool)

    async def happens(self, *records: Record) -> None:
        """Write records and project them."""
        await self.log.append(records)
        projector = Projector(self.database, self.log.read, None)
        await projector.catch_up(0, (await self.log.ends())[0])

    async def seen(self, user: str = "bob", *, unread: bool = False) -> list[tuple[str, str, str | None]]:
        """Return kind, title and excerpt of a user's notifications."""
        page = await self.page(user, unread=unread)
        return [(each.kind, each.title, each.excerpt) for each in page.items]

    async def page(self, user: str = "bob", *, unread: bool = False) -> NotificationPage:
        return await self.queries.page(user, unread=unread, after=None, limit=100)


@pytest.fixture
async def story(database: Database) -> Story:
    story = Story(database)
    await story.happens(
        *two_lists(),
        record_of(TaskCreated(LIST_ID, "Milk", assignees=("bob",), notify=("bob",)), 1, id=C1),
        record_of(TaskCommented(C2, "@bob " + "x" * 300, ("bob",)), 2),
    )
    return story


def of_list(event: Any, version: int, list_id: str = LIST_ID) -> Record:
    """Return a record of a list, earlier than the task; those of the other list are later."""
    ago = 10 * MINUTE if list_id == LIST_ID else 5 * MINUTE
    time = START - ago + version * MINUTE
    return record_of(event, version, id=str(uuid4()), stream=f"list:{list_id}", time=time)


def of_bob(event: Any, version: int) -> Record:
    return record_of(event, version, id=str(uuid4()), stream="user:bob", actor="bob")


# --- what may be seen ------------------------------------------------------------------------------------

MENTIONED, ASSIGNED = ("mentioned", "Milk", "@bob " + "x" * 195), ("assigned", "Milk", None)
SHARED = [("shared", "2", None), ("shared", "1", None)]


async def test_newest_comes_first_with_all_shown_fields(story: Story) -> None:
    """The beginning of the comment, the title, actor and task."""
    assert await story.seen() == [MENTIONED, ASSIGNED, *SHARED]
    assert await story.seen("alice") == []
    [mentioned] = [each for each in (await story.page()).items if each.kind == "mentioned"]
    assert (mentioned.actor, mentioned.task_id, mentioned.list_id, mentioned.comment_id) == (
        "alice",
        TASK_ID,
        LIST_ID,
        C2,
    )
    assert (mentioned.time, mentioned.position, mentioned.read) == (START + MINUTE, "0:5", False)


async def test_notification_shows_the_current_texts(story: Story) -> None:
    """Another title, another comment text."""
    await story.happens(
        record_of(TaskEdited({"title": "Oat milk"}), 3), record_of(TaskCommentEdited(C2, "never mind"), 4)
    )
    assert ("mentioned", "Oat milk", "never mind") in await story.seen()


async def test_deleted_comment_hides_its_notification(story: Story) -> None:
    await story.happens(record_of(TaskCommentDeleted(C2), 3))
    assert [kind for kind, *_ in await story.seen()].count("mentioned") == 0
    assert (await story.page()).unread == 3


async def test_deleted_task_hides_its_notifications_until_it_is_restored(story: Story) -> None:
    """In the list and in the count."""
    await story.happens(record_of(TaskDeleted(), 3))
    assert {kind for kind, *_ in await story.seen()} == {"shared"}
    assert await story.queries.unread("bob") == 2
    await story.happens(record_of(TaskRestored(), 4))
    assert await story.queries.unread("bob") == 4


async def test_former_member_sees_no_notifications_of_the_list(story: Story) -> None:
    """Until they are a member again."""
    await story.happens(of_list(MemberRemoved("bob"), 3))
    assert await story.seen() == [("shared", "2", None)]
    page = await story.page(unread=True)
    assert (len(page.items), page.unread) == (1, 1)
    assert await story.queries.one("bob", C1) is None
    await story.happens(of_list(MemberAdded("bob", "viewer"), 4))
    assert len(await story.seen()) == 5


async def test_notifications_of_a_moved_task_follow_its_list(story: Story) -> None:
    """Its members see them."""
    await story.happens(record_of(TaskMoved(OTHER_LIST_ID), 3), of_list(MemberRemoved("bob"), 3))
    assert MENTIONED in await story.seen()
    assert {each.list_id for each in (await story.page()).items} == {OTHER_LIST_ID}
    await story.happens(of_list(MemberRemoved("bob"), 3, OTHER_LIST_ID))
    assert await story.seen() == []


# --- read and unread -------------------------------------------------------------------------------------


async def test_unread_pages_follow_the_read_events(story: Story) -> None:
    """Single ones, all up to a time, and single ones again."""
    await story.happens(of_bob(NotificationsRead((C1,)), 1))
    assert ASSIGNED not in await story.seen(unread=True)
    await story.happens(of_bob(AllNotificationsRead(START), 2))
    assert await story.seen(unread=True) == [MENTIONED]
    await story.happens(of_bob(AllNotificationsRead(START + MINUTE), 3))
    assert await story.seen(unread=True) == []
    assert not await story.queries.any_unread("bob", START + 9 * MINUTE)
    await story.happens(of_bob(NotificationsUnread((C1,)), 4))
    assert await story.seen(unread=True) == [ASSIGNED]
    assert await story.queries.any_unread("bob", START)
    assert not await story.queries.any_unread("bob", START - MINUTE)
    await story.happens(of_bob(AllNotificationsRead(START), 5))
    assert (await story.page()).unread == 0
    assert await story.queries.newest("bob") == START + MINUTE


ids = st.sampled_from([f"30000000-0000-4000-8000-00000000000{n}" for n in range(5)])
times = st.integers(-1, 6).map(lambda n: START + n * MINUTE)
says = st.one_of(
    st.lists(ids, min_size=1, max_size=3).map(lambda some: NotificationsRead(tuple(some))),
    st.lists(ids, min_size=1, max_size=3).map(lambda some: NotificationsUnread(tuple(some))),
    times.map(AllNotificationsRead),
)


def notified(id_: str, n: int) -> list[Record]:
    """Return a comment that notifies bob at its own time; some ids are repeated, on streams of their own."""
    stream = f"task:40000000-0000-4000-8000-00000000000{n}"
    created = record_of(TaskCreated(LIST_ID, "T"), 1, id=str(uuid4()), stream=stream)
    commented = TaskCommented(C1, "x", notify=("bob",))
    return [created, record_of(commented, 2, id=id_, stream=stream, time=START + n * MINUTE)]


@given(st.lists(ids, max_size=7), st.lists(says, max_size=8), st.lists(st.integers(0, 3), max_size=30))
@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
async def test_order_of_partitions_does_not_matter(
    shared: Database, recipients: list[str], said: list[Any], order: list[int]
) -> None:
    """Notifications and read events are in different partitions: the fold is the same."""
    database = await emptied(shared)
    tellings = [*two_lists(), *(record for n, id_ in enumerate(recipients) for record in notified(id_, n))]
    sayings = [of_bob(event, version) for version, event in enumerate(said, start=1)]
    partitions = [
        [raw_of(record, offset, partition) for offset, record in enumerate(records)]
        for partition, records in enumerate((tellings, sayings))
    ]
    await _project(database, partitions, order)
    fold, outcome = fold_log([raw for part in partitions for raw in part])
    await check_read_models(database, fold.states.values(), outcome)
    queries = NotificationQueries(database.pool)
    all_ = await queries.page("bob", unread=False, after=None, limit=100)
    unread = await queries.page("bob", unread=True, after=None, limit=100)
    expected = [each for each in all_.items if not each.read]
    assert list(unread.items) == expected
    assert unread.unread == all_.unread == await queries.unread("bob") == len(expected)
    for until in (START, START + 3 * MINUTE):
        assert await queries.any_unread("bob", until) == any(each.time <= until for each in expected)


async def _project(database: Database, partitions: Sequence[Sequence[RawRecord]], order: list[int]) -> None:
    """Project two partitions in turn, a few records at a time, and then the rest."""
    projector = Projector(database, lambda *_: _nothing(), None)
    done = [0, 0]
    turns = [(step % 2, 1 + step // 2) for step in order] + [(0, 1_000), (1, 1_000)]
    for partition, count in turns:
        batch = partitions[partition][done[partition] : done[partition] + count]
        done[partition] += len(batch)
        await projector.project({partition: batch})


async def _nothing() -> AsyncIterator[Sequence[RawRecord]]:
    for _ in range(0):
        yield []


# --- what it costs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def crowded(shared: Database) -> Database:
    """Yield users with very many notifications: never read, each read, all read at once, and of a former
    list."""
    database = await emptied(shared)
    await Story(database).happens(*two_lists())
    fill = """
        INSERT INTO notifications
            (user_id, id, kind, list_id, actor, time, partition, "offset", read, read_version)
        SELECT $1, gen_random_uuid()::text, 'shared', $2, 'alice', $3::timestamptz + n * interval '1 second',
               0, n, $4, $5
        FROM generate_series(1, $6::int) n
    """
    for user, list_id, read, number in (
        ("never", LIST_ID, None, SOME),
        ("each", LIST_ID, True, MANY),
        ("all", LIST_ID, None, MANY),
        ("left", str(uuid4()), None, SOME),
    ):
        await database.pool.execute(fill, user, list_id, START, read, 1 if read else None, number)
        await database.pool.execute("INSERT INTO list_members VALUES ($1, $2, 'editor')", LIST_ID, user)
    await database.pool.execute(
        "INSERT INTO notification_marks VALUES ('all', 1, $1)", START + timedelta(seconds=MANY)
    )
    await database.pool.execute("ANALYZE notifications, notification_marks, lists, list_members")
    return database


def rows_read(plan: dict[str, Any]) -> int:
    """Return the number of notification rows that a plan examined."""
    own = 0
    if plan.get("Relation Name") == "notifications":
        own = plan["Actual Loops"] * (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))
    return int(own) + sum(rows_read(part) for part in plan.get("Plans", ()))


async def cost(database: Database, sql: str, *arguments: object) -> int:
    """Return the number of notification rows that a query examines."""
    [row] = await database.pool.fetchrow(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments) or [""]
    return rows_read(json.loads(row)[0]["Plan"])


EVER = datetime.max.replace(tzinfo=START.tzinfo)
BEFORE, AFTER = START - MINUTE, START + timedelta(seconds=MANY)


@pytest.mark.parametrize(
    ("user", "read_until", "most"),
    [("never", BEFORE, MAX_UNREAD), ("each", BEFORE, 0), ("all", AFTER, 0)],
)
async def test_count_examines_only_counted_rows(
    crowded: Database, user: str, read_until: datetime, most: int
) -> None:
    """Of a hundred thousand notifications, whichever were read, and how."""
    assert await NotificationQueries(crowded.pool).unread(user) == most
    assert await cost(crowded, notification_queries.UNREAD, user, read_until) <= most


@pytest.mark.parametrize(
    ("sql", "arguments"),
    [
        (notification_queries.PAGE, ("never", EVER, "", 51)),
        (notification_queries.PAGE, ("each", START + timedelta(seconds=500), "x", 51)),
        (notification_queries.UNREAD_PAGE, ("never", BEFORE, EVER, "", 51)),
        (notification_queries.UNREAD_PAGE, ("all", AFTER, EVER, "", 51)),
    ],
)
async def test_page_examines_only_shown_rows(
    crowded: Database, sql: str, arguments: tuple[object, ...]
) -> None:
    """At any position."""
    assert await cost(crowded, sql, *arguments) <= 51


async def test_invisible_notifications_are_not_counted(crowded: Database) -> None:
    """However many there are."""
    assert await NotificationQueries(crowded.pool).unread("left") == 0
