"""Searching 100,000 tasks: rows read by Postgres, according to its plans."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle, islice
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from pydantic_core import from_json

from api.node import SESSION
from app.search.conditions import Condition
from app.search.criteria import criteria_of
from app.search.parser import Search, parse
from app.search.sorting import SortKey
from benchmarks.many_tasks import NOW, fill, list_id
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database, asyncpg_dsn
from projections.postgres.periods import Moment
from projections.postgres.snapshots import snapshot
from projections.task_search.cost_limits import Bounds
from projections.task_search.filters import TaskFilter
from projections.task_search.index_merge import merge
from projections.task_search.index_walk import SETTINGS as WALKING
from projections.task_search.ordering import Order, Portion
from projections.task_search.planner import find, find_at, find_relevant, lists_of
from tests.waiting import eventually

TASKS = 100_000
PAGE = 51
MOST_EXAMINED = 40_000
"""Rows for one page, whether they were of use or not; a task and its words are two."""
MOST_SORTED_KIB = 128
MOST_BUFFERS = 50_000
"""Pages of 8 KiB, most of them the upper ones of indexes, again and again."""

BIG, ALL, BOBS = ("alice", 0), ("alice", None), ("bob", None)
"""One list with half of the tasks; that and 400 others; forty of those."""
KEYS: list[SortKey] = ["rank", "created_at", "updated_at", "due", "priority", "title"]
ORDERS = [Order(key, descending=descending) for key in KEYS for descending in (False, True)]

FREQUENT = ["", "is:open", "is:done #home", "p:>=medium", "has:due -#home", "meeting", "m*", "-meeting"]
SOME = [
    "is:open p:high #home",
    "is:open @person5 p:medium",
    'stage:"Stage 0" is:open p:>=high',
    "due:<2024-06-01 is:open",
    "due:week is:open",
    "@dora is:open p:high",
    "by:alice is:subtask #tag0",
    "meeting w1 is:open",
    "w77*",
    '"follow up"',
    '"follow up" @dora is:open',
    "meeting -w0 #home",
]
RARE = [
    "is:open p:urgent #tag1",
    'stage:"Stage 10" @person1',
    "#tag1 #home @dora",
    "p:>urgent",
    "w12345",
    "w1 w4 w9 is:open",
    "comment2500 meeting",
    "m* -meeting",
    "nowhere #tag1",
]


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield a database of many tasks, with sessions like the API's."""
    schema = f"m_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 1))
    filling = await asyncpg.connect(
        asyncpg_dsn(database_url), server_settings={"search_path": f"{schema}_g1"}
    )
    await fill(filling, TASKS, versions=1)
    await eventually(lambda: vacuumed(filling), 60)
    await filling.close()
    opened = await open_database(database_url, schema, pool_size=1, server_settings=SESSION)
    assert await opened.pool.fetchval("SELECT count(*) FROM tasks") == TASKS
    yield opened
    await opened.close()


async def vacuumed(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Return whether index-only scans work: not while others have an older transaction open."""
    await connection.execute("VACUUM tasks, task_search, task_versions, comments, lists, list_members")
    return bool(
        await connection.fetchval(
            "SELECT relallvisible = relpages FROM pg_class WHERE oid = 'tasks'::regclass"
        )
    )


@dataclass
class Watched:
    """A connection that explains each query before it is executed."""

    connection: Any
    plans: list[dict[str, Any]] = field(default_factory=list)

    async def execute(self, sql: str, *values: Any) -> str:
        """See `asyncpg.Connection.execute`."""
        result: str = await self.connection.execute(sql, *values)
        return result

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """See `asyncpg.Connection.fetchval`: those queries are explanations themselves, and read no task."""
        assert sql.startswith("EXPLAIN (FORMAT JSON)")
        return await self.connection.fetchval(sql, *values)

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """See `asyncpg.Connection.fetch`."""
        explained = await self.connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *values)
        self.plans.append(from_json(explained)[0]["Plan"])
        rows: list[asyncpg.Record] = await self.connection.fetch(sql, *values)
        return rows

    def nodes(self) -> Iterator[dict[str, Any]]:
        """Return every node of every plan."""
        todo = list(self.plans)
        while todo:
            node = todo.pop()
            todo += node.get("Plans", [])
            yield node


def examined(node: dict[str, Any]) -> float:
    """Return the rows of a table that a node read, including discarded ones."""
    if "Relation Name" not in node:
        return 0
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def check(watched: Watched) -> None:
    """Check that no table is read whole, sorts keep one page at most, and rows read are bounded."""
    for node in watched.nodes():
        kind, table = node["Node Type"], node.get("Relation Name")
        if "Sort" in kind:
            assert node["Sort Space Used"] <= MOST_SORTED_KIB, node
        assert kind != "Seq Scan" or table == "checkpoints", node
        if table in ("tasks", "task_search") and kind in ("Index Scan", "Index Only Scan"):
            assert "Index Cond" in node, node
        if node.get("Index Name") == "task_search_by_due":
            assert "due_at" in node["Index Cond"], node
    rows = sum(examined(node) for node in watched.nodes())
    assert rows <= MOST_EXAMINED
    buffers = sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in watched.plans)
    assert buffers <= MOST_BUFFERS


async def chosen_by(connection: Any, text: str, where: tuple[str, int | None]) -> TaskFilter:
    """Return the filter of a search in one list or in all of the user's."""
    user, number = where
    search = parse(text, me=user)
    if number is not None:
        search = Search((Condition("list", list_id(number)), *search.conditions), search.terms)
    criteria = criteria_of(search, now=NOW, zone=ZoneInfo("UTC"))
    lists, _ = await lists_of(connection, user, criteria.lists)
    return TaskFilter(criteria, lists)


def orders_for(text: str, place: int) -> list[Order]:
    """Return four of the orders, so that every order is combined with many texts.

    The half of the tasks whose titles start with "Meeting" has no order by title: they are all at one end,
    and a walk from the other end is long. That is known, and measured in `benchmarks/finding.py`.
    """
    orders = [order for order in ORDERS if order.key != "title" or "meeting" not in text]
    return list(islice(cycle(orders), place, place + 13, 4))


TEXTS = FREQUENT + SOME + RARE


@pytest.mark.parametrize("where", [BIG, ALL, BOBS], ids=["big", "all", "bobs"])
@pytest.mark.parametrize("text", TEXTS)
async def test_rows_read_for_a_page_are_bounded(
    database: Database, text: str, where: tuple[str, int | None]
) -> None:
    """For frequent and rare matches, in any order and any number of lists."""
    for order in orders_for(text, TEXTS.index(text)):
        async with snapshot(database.pool, WALKING) as connection:
            watched: Any = Watched(connection)
            chosen = await chosen_by(connection, text, where)
            places = await find(watched, chosen, order, Portion(None, PAGE), Bounds())
            check(watched)
            if len(places) == PAGE:
                again: Any = Watched(connection)
                await find(again, chosen, order, Portion(places[-1], PAGE), Bounds())
                check(again)


@pytest.mark.parametrize("order", [order for order in ORDERS if not order.nullable], ids=str)
async def test_a_merge_reads_a_page_of_each_status_bucket(database: Database, order: Order) -> None:
    """In the order of an index, however many tasks a list has."""
    criteria = criteria_of(parse("", me="bob"), now=NOW, zone=ZoneInfo("UTC"))
    bounds, after = Bounds(abreast=200), None
    for _ in range(2):
        async with snapshot(database.pool, WALKING) as connection:
            watched: Any = Watched(connection)
            merged = await merge(watched, "bob", criteria, order, Portion(after, PAGE), bounds)
            assert merged is not None
            assert len(merged.states) == PAGE - 1
            check(watched)
        after = merged.end


@pytest.mark.parametrize("where", [BIG, ALL, BOBS], ids=["big", "all", "bobs"])
@pytest.mark.parametrize("text", ["meeting", "w1 #home", '"follow up" is:open', "w12345"])
async def test_rows_read_by_relevance_are_bounded(
    database: Database, text: str, where: tuple[str, int | None]
) -> None:
    """With the words in the title or elsewhere."""
    async with snapshot(database.pool, WALKING) as connection:
        watched: Any = Watched(connection)
        chosen = await chosen_by(connection, text, where)
        await find_relevant(watched, chosen, Portion(None, PAGE), Bounds())
        check(watched)


@pytest.mark.parametrize("where", [BIG, ALL, BOBS], ids=["big", "all", "bobs"])
@pytest.mark.parametrize("text", ["", "is:open p:high #home", "meeting"])
@pytest.mark.parametrize("days", [2, 400, 900])
async def test_rows_read_as_of_a_time_are_bounded(
    database: Database, days: int, text: str, where: tuple[str, int | None]
) -> None:
    """Also if many tasks have changed since."""
    moment = Moment(NOW - timedelta(days=days))
    async with snapshot(database.pool, WALKING) as connection:
        watched: Any = Watched(connection)
        chosen = await chosen_by(connection, text, where)
        await find_at(watched, chosen, Order("rank"), Portion(None, PAGE), Bounds(), moment)
        check(watched)
