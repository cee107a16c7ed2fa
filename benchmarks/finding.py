"""A benchmark of pages among 200,000 tasks: by filters, by words, in any order, and with plain SQL.

Run it with `python -m benchmarks finding`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple
from zoneinfo import ZoneInfo

import asyncpg

from api.node import SESSION
from app.search.conditions import Condition
from app.search.criteria import Criteria, criteria_of
from app.search.parser import Search, parse
from app.search.sorting import SortKey
from app.text.tokens import Needle
from benchmarks.machine import measured
from benchmarks.many_tasks import NOW, TASKS, fill, list_id
from benchmarks.tables import percentile, table
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database, asyncpg_dsn
from projections.postgres.sql_parameters import Parameters
from projections.queries.tasks import TaskQueries
from projections.read_models.tasks import load
from projections.task_search.filters import TaskFilter
from projections.task_search.ordering import Order
from projections.task_search.planner import lists_of
from streams.garbage import collect_rarely
from tasktape.local.postgres import EmbeddedPostgres

LIST_TARGET_MS, SEARCH_TARGET_MS = 20.0, 50.0
LIMIT = 50
WARM_UP = 60
KEYS: list[SortKey] = ["rank", "created_at", "updated_at", "due", "priority", "title"]
ORDERS = tuple(Order(key, descending=descending) for key in KEYS for descending in (False, True))
FAR = Order("title", descending=True)
"""From its end, "Meeting with …" comes after all other titles: a walk for that word is long."""
SCOPES = (("alice", 0), ("alice", None), ("bob", None))
"""The list of 100,000 tasks; that and 400 of 250 each; forty of those."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A page that a user requests, the first or the second; without an order, by relevance."""

    user: str
    criteria: Criteria
    order: Order | None
    second: bool


class Row(NamedTuple):
    """The measurements of one kind of question, in milliseconds."""

    what: str
    ours: Sequence[float]
    plain: Sequence[float]
    target: float | None


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks finding", description=__doc__)
    parser.add_argument("--times", type=int, default=600, help="Pages of each kind.")
    parser.add_argument("--plain-times", type=int, default=40, help="The same with plain SQL.")
    options = parser.parse_args(arguments)
    question = f"Pages of {LIMIT} tasks among {TASKS:,}: {options.times} of each kind"
    with measured(question), temporary_database() as url:
        asyncio.run(_run(url, options.times, options.plain_times))


@contextmanager
def temporary_database() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tasktape-bench-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            yield postgres.start()
        finally:
            postgres.stop()


async def _run(url: str, times: int, plain_times: int) -> None:
    await set_up(url, "bench", LogIdentity("bench", "bench", 1))
    filling = await asyncpg.connect(asyncpg_dsn(url), server_settings={"search_path": "bench_g1"})
    started_s = time.monotonic()
    await fill(filling)
    await filling.close()
    print(f"filled in {time.monotonic() - started_s:.0f} s\n", flush=True)
    ours = await open_database(url, "bench", pool_size=1, server_settings=SESSION)
    plain = await open_database(url, "bench", pool_size=1)
    collect_rarely()  # as the API's process does
    rows = [await _measure(kind, ours, plain, times, plain_times) for kind in KINDS]
    await ours.close()
    await plain.close()
    _print(rows)


async def _measure(kind: Kind, ours: Database, plain: Database, times: int, plain_times: int) -> Row:
    draw = random.Random(kind.what)
    asked = [kind.draw(draw) for _ in range(times)]
    queries = TaskQueries(ours.pool)
    for each in asked[:WARM_UP]:
        await _page_ms(queries, each)
    ours_ms = [await _page_ms(queries, each) for each in asked]
    plain_ms = [await _plain_ms(plain, each) for each in asked[:plain_times]]
    print(f"{kind.what}: {median(ours_ms):.1f} ms", flush=True)
    return Row(kind.what, ours_ms, plain_ms, kind.target)


async def _page_ms(queries: TaskQueries, asked: Asked) -> float:
    """Return the time of a page, from the question to the tasks, snippets included."""
    after = None
    if asked.second:
        first = await queries.page(asked.user, asked.criteria, asked.order, after=None, limit=LIMIT)
        after = first.end
    started_s = time.perf_counter()
    await queries.page(asked.user, asked.criteria, asked.order, after=after, limit=LIMIT)
    return (time.perf_counter() - started_s) * 1000


async def _plain_ms(database: Database, asked: Asked) -> float:
    """Return the time of the first page by one statement on the same tables; ILIKE finds words."""
    async with database.pool.acquire() as connection:
        started_s = time.perf_counter()
        lists, _ = await lists_of(connection, asked.user, asked.criteria.lists)
        order, parameters = asked.order or Order("updated_at", descending=True), Parameters()
        source, texts = _plain_source(asked.criteria)
        conditions = [TaskFilter(replace(asked.criteria, needles=()), lists).sought(parameters)]
        conditions += [_ilike(needle, texts, parameters) for needle in asked.criteria.needles]
        nulls = " NULLS LAST" if order.key == "due" else ""
        by = order.by.replace(",", f"{nulls},", 1)
        where = " AND ".join(conditions)
        rows = await connection.fetch(
            f"SELECT t.id FROM {source} WHERE {where} ORDER BY {by} LIMIT {LIMIT + 1}", *parameters.values
        )
        await load(connection, [row["id"] for row in rows])
        return (time.perf_counter() - started_s) * 1000


def _plain_source(criteria: Criteria) -> tuple[str, str]:
    """Return the table with an index for the search, and the row that has the texts."""
    if not criteria.needles:
        return "task_search AS t(id)", ""
    return ("task_search AS t(id) JOIN tasks USING (id)", "tasks") if criteria.any_of else ("tasks t", "t")


def _ilike(needle: Needle, texts: str, parameters: Parameters) -> str:
    words = parameters.add(f"%{' '.join(needle.forms)}%", "text")
    said = f"SELECT 1 FROM comments c WHERE c.task_id = t.id AND c.text ILIKE {words}"
    return f"({texts}.title ILIKE {words} OR {texts}.notes ILIKE {words} OR EXISTS ({said}))"


def _print(rows: Sequence[Row]) -> None:
    heads = ("what", "p50 ms", "p99 ms", "target p99", "plain SQL p50", "takes")
    print("\n" + table(heads, [_figures(row) for row in rows]))
    missed = [row.what for row in rows if row.target and percentile(row.ours, 99) > row.target]
    print(f"\ntargets: {'MISSED for ' + ', '.join(missed) if missed else 'reached'}")


def _figures(row: Row) -> tuple[str, ...]:
    p50, plain = median(row.ours), median(row.plain)
    target = f"{row.target:.0f}" if row.target else ""
    p99 = f"{percentile(row.ours, 99):.1f}"
    return (row.what, f"{p50:.1f}", p99, target, f"{plain:.1f}", f"{plain / p50:.1f} x")


# --- questions -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """Questions of one kind: random searches for a user, in a random order."""

    what: str
    text: Callable[[random.Random], str]
    target: float | None
    scopes: Sequence[tuple[str, int | None]] = SCOPES
    orders: Sequence[Order | None] = ORDERS

    def draw(self, draw: random.Random) -> Asked:
        """Return one of them; every third is for the second page."""
        user, number = draw.choice(self.scopes)
        search = parse(self.text(draw), me=user)
        if number is not None:
            search = Search((Condition("list", list_id(number)), *search.conditions), search.terms)
        criteria = criteria_of(search, now=NOW, zone=ZoneInfo("UTC"))
        return Asked(user, criteria, draw.choice(self.orders), second=draw.randrange(3) == 0)


def _three_filters(draw: random.Random) -> str:
    filters = (
        draw.choice(["is:open", "is:open", "is:done"]),
        f"p:{draw.choice(['none', 'low', 'medium', 'high', 'urgent'])}",
        f"#{draw.choice(['home', 'tag0', 'tag1', 'tag6', 'tag42'])}",
        f"@{draw.choice(['person0', 'person1', 'person5', 'person12', 'dora'])}",
        f'stage:"Stage {draw.choice([0, 1, 5, 10])}"',
        draw.choice(["due:week", "due:<2024-06-01", "due:>2026-12-01", "is:overdue", "has:due"]),
    )
    return " ".join(draw.sample(filters, 3))


def _filter(draw: random.Random) -> str:
    return draw.choice(["is:open", "is:open p:high", "#home", "@person5 is:open", "@dora"])


def _word(draw: random.Random) -> str:
    return f"w{draw.choice([0, 1, 3, 4, 12, 40])}"


KINDS = (
    Kind("no filter", lambda _: "", LIST_TARGET_MS),
    Kind("three filters, the list of 100,000", _three_filters, LIST_TARGET_MS, SCOPES[:1]),
    Kind("three filters, 401 lists", _three_filters, LIST_TARGET_MS, SCOPES[1:2]),
    Kind("three filters, 40 lists", _three_filters, LIST_TARGET_MS, SCOPES[2:]),
    Kind("a word of a few tasks", lambda draw: f"w{draw.randrange(5_000, 20_000)}", SEARCH_TARGET_MS),
    Kind("a word of some thousands", _word, SEARCH_TARGET_MS),
    Kind(
        "a word of half of all",
        lambda _: "meeting",
        SEARCH_TARGET_MS,
        orders=[order for order in ORDERS if order != FAR],
    ),
    Kind(
        "the beginning of words", lambda draw: draw.choice(["w77*", "w1*", "fol*", "w123*"]), SEARCH_TARGET_MS
    ),
    Kind(
        "a phrase",
        lambda draw: draw.choice(['"follow up"', '"and follow up"', '"about w7"']),
        SEARCH_TARGET_MS,
    ),
    Kind("two words", lambda draw: f"{_word(draw)} {_word(draw)}", SEARCH_TARGET_MS),
    Kind("a word and filters", lambda draw: f"{_word(draw)} {_filter(draw)}", SEARCH_TARGET_MS),
    Kind("a word, the most relevant first", _word, SEARCH_TARGET_MS, orders=(None,)),
    Kind("a word of half, from the far end", lambda _: "meeting is:open", None, orders=[FAR]),
)
