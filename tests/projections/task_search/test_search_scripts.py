"""Search and order of tasks in all scripts, by indexes and as of a time, paged and at once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from app.lists.events import ListCreated
from app.search.criteria import criteria_of
from app.search.parser import parse
from app.tasks.events import TaskCommented, TaskCreated, TaskEdited
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.postgres.periods import Moment
from projections.projector import Projector
from projections.queries.tasks import TaskQueries
from projections.task_search.cost_limits import Bounds
from projections.task_search.ordering import Order, Place
from projections.task_search.task_states import TaskState
from tests.app.text.test_collation import IN_ORDER
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, START, record_of

EDITED = START + timedelta(hours=1)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
LONG = "これは長い説明の文章です。あの人の本の中の紙の上の字の話。" * 500
SAID = {
    "hindi": "हिन्दी सीखना",
    "hindu": "हिन्दू पर्व",
    "arabic": "اتصل بِمُحَمَّد ثم مُحَمَّد",
    "hebrew": "שָׁלוֹם עולם",
    "bus": "バスに乗る",
    "pass": "パスを買う",
    "test": "ﾃｽﾄを書く",
    "thai": "ฉันชอบกินข้าวผัดมาก",
    "khmer": "ខ្ញុំរៀនភាសាខ្មែរ",
    "long": f"{LONG}最後に富士山へ行く",
    "persian": "نامه‌ها را می‌خوانم",
    "tower": "東京 tower の予約",
}
BOUNDS = [Bounds(), Bounds(expected=0, walked=1_000_000), Bounds(expected=1_000_000)]


def task(number: int) -> str:
    return str(UUID(int=3 << 120 | number))


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield tasks with these notes and others with the titles to sort; all had other texts before."""
    schema = f"s_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 1))
    opened = await open_database(database_url, schema, pool_size=1)
    log = MemoryEventLog(1, lambda: START)
    stream = f"list:{LIST_ID}"
    await log.append([record_of(ListCreated("L"), 1, id=str(uuid4()), stream=stream, time=START)])
    titles = dict(enumerate(random.Random(4).sample(IN_ORDER, len(IN_ORDER)), start=100))
    for number, text in [*enumerate(SAID.values()), *titles.items()]:
        stream = f"task:{task(number)}"
        made = TaskCreated(LIST_ID, text[:30] if number >= 100 else "x", notes="" if number >= 100 else text)
        edit = TaskEdited({"notes": "नया"} if number < 100 else {"tags": ("cafe\u0301",)})
        await log.append([record_of(made, 1, id=str(uuid4()), stream=stream, time=START)])
        await log.append([record_of(edit, 2, id=str(uuid4()), stream=stream, time=EDITED)])
        if number < 100:
            said = record_of(
                TaskCommented("c", text[-10_000:]), 3, id=str(uuid4()), stream=stream, time=EDITED
            )
            await log.append([said])
    projector = Projector(opened, log.read, None)
    for partition, end in (await log.ends()).items():
        await projector.catch_up(partition, end)
    yield opened
    await opened.close()


@pytest.mark.parametrize("bounds", BOUNDS, ids=["as it is", "walks", "gathers"])
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("हिन्दी", {"hindi"}),
        ("हिन्दू", {"hindu"}),
        ("हिन्द*", {"hindi", "hindu"}),
        ("محمد", {"arabic"}),
        ("بمحمد", {"arabic"}),
        ("שלום", {"hebrew"}),
        ("שָׁלוֹם", {"hebrew"}),
        ("バス", {"bus"}),
        ("ﾊﾞｽ", {"bus"}),
        ("パス", {"pass"}),
        ("テスト", {"test"}),
        ("ﾃｽﾄ", {"test"}),
        ("ข้าวผัด", {"thai"}),
        ("ข้าวขัด", set()),
        ("ភាសា", {"khmer"}),
        ("富士山", {"long"}),
        ("の上の字の話", {"long"}),
        ("می‌خوانم", {"persian"}),
        ("میخوانم", {"persian"}),
        ('"東京 tower の予"', {"tower"}),
        ("東京 予約", {"tower"}),
        ("東京tow*", {"tower"}),
        ("京 を", set()),
        ("を", {"pass", "test"}),
        ("に -バス", {"long"}),
        ("バ* -パス", {"bus"}),
    ],
)
async def test_word_is_found_by_its_spellings(
    database: Database, query: str, found: set[str], bounds: Bounds
) -> None:
    """In notes of an hour ago, in comments by an index, and by each search strategy."""
    queries = TaskQueries(database.pool, bounds)
    criteria = criteria_of(parse(query, me="alice"), now=NOW, zone=ZoneInfo("UTC"))
    then = await queries.page("alice", criteria, Order("rank"), after=None, limit=200, moment=Moment(START))
    assert names(then.items) == found
    now = await queries.page("alice", criteria, Order("rank"), after=None, limit=200)
    assert names(now.items) == found


def names(items: Sequence[TaskState]) -> set[str]:
    keys = {task(number): name for number, name in enumerate(SAID)}
    return {keys[item.id] for item in items if item.id in keys}


@pytest.mark.parametrize("limit", [1, 7, 200])
@pytest.mark.parametrize("descending", [False, True])
async def test_titles_are_paged_in_standard_order(
    database: Database, limit: int, *, descending: bool
) -> None:
    """A cursor continues after the previous page."""
    criteria = criteria_of(parse('#"café"', me="alice"), now=NOW, zone=ZoneInfo("UTC"))
    titles: list[str] = []
    after: Place | None = None
    while True:
        order = Order("title", descending=descending)
        page = await TaskQueries(database.pool).page("alice", criteria, order, after=after, limit=limit)
        titles += [item.decode().title for item in page.items]
        if (after := page.end) is None:
            break
    assert titles == (IN_ORDER[::-1] if descending else IN_ORDER)


async def test_title_order_is_read_from_an_index(database: Database) -> None:
    """Without a collation of the database."""
    async with database.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        plan = await connection.fetch(
            "EXPLAIN SELECT id FROM tasks WHERE list_id = $1 AND status_bucket = 0 "
            "ORDER BY title_order, id LIMIT 5",
            LIST_ID,
        )
        assert "tasks_by_title" in plan[1]["QUERY PLAN"]
        assert "Sort" not in "".join(row["QUERY PLAN"] for row in plan)
