"""A benchmark of pages as of past times, among 100,000 tasks with a million versions.

Run it with `python -m benchmarks time_travel`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from zoneinfo import ZoneInfo

import asyncpg

from api.node import SESSION
from app.search.conditions import Condition
from app.search.criteria import Criteria, criteria_of
from app.search.parser import Search, parse
from benchmarks.finding import temporary_database
from benchmarks.machine import measured
from benchmarks.many_tasks import NOW, fill, list_id
from benchmarks.tables import percentile, table
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database, asyncpg_dsn
from projections.postgres.periods import Moment
from projections.queries.tasks import TaskQueries
from projections.task_search.ordering import Order, Place
from streams.garbage import collect_rarely

TASKS, VERSIONS = 100_000, 10
TARGET_MS = 50.0
LIMIT = 50
YEARS = timedelta(minutes=8) * TASKS
SHARES = {"early": (0.02, 0.1), "middle": (0.4, 0.6), "late": (0.9, 0.999)}
"""The moments, as shares of the time since the first task was created."""
FILTERS = (
    "",
    "is:open",
    "is:done",
    "is:open p:high #home",
    "@person5",
    "#tag42 is:open",
    'stage:"Stage 1"',
    "due:week",
    "has:due p:>=medium",
    "estimate:>30",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A page at a moment: the first, or the last one."""

    user: str
    criteria: Criteria
    order: Order
    moment: Moment
    after: Place | None


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks time_travel", description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="Pages of each filter and order.")
    options = parser.parse_args(arguments)
    question = f"Pages of {LIMIT} as of past times among {TASKS:,} tasks with {TASKS * VERSIONS:,} versions"
    with measured(question), temporary_database() as url:
        asyncio.run(_run(url, options.times))


async def _run(url: str, times: int) -> None:
    await set_up(url, "bench", LogIdentity("bench", "bench", 1))
    filling = await asyncpg.connect(asyncpg_dsn(url), server_settings={"search_path": "bench_g1"})
    started_s = time.monotonic()
    await fill(filling, TASKS, VERSIONS - 1, history=True)
    await filling.close()
    print(f"filled in {time.monotonic() - started_s:.0f} s\n", flush=True)
    database = await open_database(url, "bench", pool_size=1, server_settings=SESSION)
    collect_rarely()  # as the API's process does
    rows = [
        await _measure(database, when, shares, page, order, times)
        for when, shares in SHARES.items()
        for page in ("first", "last")
        for order in (Order("rank"), Order("title", descending=True))
    ]
    await database.close()
    heads = ("time", "page", "order", "p50 ms", "p99 ms", "slowest filter", "its p50")
    print("\n" + table(heads, rows))


async def _measure(
    database: Database, when: str, shares: tuple[float, float], page: str, order: Order, times: int
) -> tuple[str, ...]:
    draw = random.Random(f"{when} {page}")
    queries = TaskQueries(database.pool)
    found: dict[str, list[float]] = {}
    for text in FILTERS:
        for number in range(times + 1):
            user = draw.choice(["alice", "alice", "bob"])
            wanted = _criteria(text, user, None if user == "bob" else draw.choice([0, None]))
            moment = Moment(NOW - YEARS * (1 - draw.uniform(*shares)))
            after = await _end(queries, user, wanted, order, moment) if page == "last" else None
            taken = await _page_ms(queries, Asked(user, wanted, order, moment, after))
            if number:
                found.setdefault(text, []).append(taken)
    everything = [each for of_filter in found.values() for each in of_filter]
    slowest = max(found, key=lambda text: median(found[text]))
    print(f"{when} {page} {order}: {median(everything):.1f} ms", flush=True)
    return (
        when,
        page,
        f"{'-' * order.descending}{order.key}",
        f"{median(everything):.1f}",
        f"{percentile(everything, 99):.1f}",
        slowest or "none",
        f"{median(found[slowest]):.1f}",
    )


def _criteria(text: str, user: str, number: int | None) -> Criteria:
    search = parse(text, me=user)
    if number is not None:
        search = Search((Condition("list", list_id(number)), *search.conditions), search.terms)
    return criteria_of(search, now=NOW, zone=ZoneInfo("UTC"))


async def _end(
    queries: TaskQueries, user: str, wanted: Criteria, order: Order, moment: Moment
) -> Place | None:
    """Return the place before the last half page, from the first page in the opposite order."""
    other = Order(order.key, descending=not order.descending)
    page = await queries.page(user, wanted, other, after=None, limit=LIMIT // 2, moment=moment)
    return page.end


async def _page_ms(queries: TaskQueries, asked: Asked) -> float:
    started_s = time.perf_counter()
    await queries.page(
        asked.user, asked.criteria, asked.order, after=asked.after, limit=LIMIT, moment=asked.moment
    )
    return (time.perf_counter() - started_s) * 1000
