"""A benchmark of questions to an audit of a million events: pages in any order, the last one too, and counts.

Run it with `python -m benchmarks audit_queries`. Times are those of the database and of the choice of the
way, without reading the events themselves, which are found by primary key.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import asyncpg

from api.node import SESSION
from app.audit.groups import GROUPS
from app.audit.query import SORTS, AuditQuery, Sort
from benchmarks import audit_questions, many_events
from benchmarks.finding import temporary_database
from benchmarks.machine import measured
from benchmarks.tables import percentile, table
from projections.audit_search.conditions import AuditFilter
from projections.audit_search.counting import counted
from projections.audit_search.finding import Finder
from projections.audit_search.orders import Order, Place
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database, asyncpg_dsn
from projections.postgres.snapshots import snapshot

PAGE_TARGET_MS, COUNT_TARGET_MS = 50.0, 300.0
SIZE = 51
AGAIN = 3
"""A page is asked for so often; the least time counts, as other processes disturb the others."""
_SIZES = """
    SELECT relname, pg_relation_size(oid)::float8 AS size FROM pg_class
    WHERE oid = 'audit_search'::regclass
        OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'audit_search'::regclass)
    ORDER BY size DESC
"""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks audit_queries", description=__doc__)
    parser.add_argument("--events", type=int, default=many_events.EVENTS)
    parser.add_argument("--times", type=int, default=200, help="Questions of each number of filters.")
    options = parser.parse_args(arguments)
    with measured(f"Questions to an audit of {options.events:,} events"), temporary_database() as url:
        asyncio.run(_run(url, options.events, options.times))


async def _run(url: str, events: int, times: int) -> None:
    await set_up(url, "bench", LogIdentity("bench", "bench", many_events.PARTITIONS))
    filling = await asyncpg.connect(asyncpg_dsn(url), server_settings={"search_path": "bench_g1"})
    started_s = time.monotonic()
    await many_events.fill(filling, events)
    sizes = await filling.fetch(_SIZES)
    await filling.close()
    print(f"filled in {time.monotonic() - started_s:.0f} s\n", flush=True)
    print(table(("relation", "bytes"), [(row["relname"], f"{row['size'] / events:.1f}") for row in sizes]))
    database = await open_database(url, "bench", pool_size=1, server_settings=SESSION)
    rows = [await _pages(database, events, filters, times) for filters in (0, 1, 2, 3, 5)]
    print("\n" + table(("filters", "pages", "p50 ms", "p99 ms", "most ms", "slowest"), rows), flush=True)
    counts = [await _counts(database, events, group, max(2, times // 20)) for group in GROUPS]
    print("\n" + table(("group_by", "all ms", "filtered p99 ms"), counts))
    print(f"\ntargets: pages {PAGE_TARGET_MS:.0f} ms, counts {COUNT_TARGET_MS:.0f} ms")
    await database.close()


async def _pages(database: Database, events: int, filters: int, times: int) -> tuple[str, ...]:
    """Return the figures of pages by so many filters: of the first page, a later one and the last one."""
    draw = random.Random(filters)
    took: list[tuple[float, str]] = []
    for number in range(times if filters else len(SORTS)):
        query, sort = audit_questions.question(draw, events, filters), SORTS[number % len(SORTS)]
        places: list[Place | None] = [None]
        async with snapshot(database.pool) as connection:
            first = await _find(connection, query, Order.of(sort), None)
            if len(first) == SIZE:
                order = Order.of(sort)
                backwards = Order(order.column, descending=not order.descending)
                places += [first[-1], (await _find(connection, query, backwards, None))[1]]
        for place in places:
            ms = min([await _page_ms(database, query, sort, place) for _ in range(AGAIN)])
            which = "first" if place is None else "later"
            took.append((ms, f"{which} by {sort}: {query.parameters()}"))
    figures = [ms for ms, _ in took]
    worst, what = max(took)
    return (
        str(filters),
        f"{len(took):,}",
        f"{percentile(figures, 50):.1f}",
        f"{percentile(figures, 99):.1f}",
        f"{worst:.1f}",
        what[:150],
    )


async def _find(connection: Any, query: AuditQuery, order: Order, after: Place | None) -> list[Place]:
    return await Finder(connection, AuditFilter.of(query, None), order, SIZE).find(after)


async def _page_ms(database: Database, query: AuditQuery, sort: Sort, after: Place | None) -> float:
    async with snapshot(database.pool) as connection:
        started_s = time.perf_counter()
        await _find(connection, query, Order.of(sort), after)
        return (time.perf_counter() - started_s) * 1000


async def _counts(database: Database, events: int, group: str, times: int) -> tuple[str, ...]:
    draw = random.Random(group)
    stage = AuditQuery(fields=("stage",)) if group in ("from", "to") else AuditQuery()
    whole = min([await _count_ms(database, stage, group) for _ in range(AGAIN)])
    queries = [audit_questions.question(draw, events, 2) for _ in range(times)]
    if group in ("from", "to"):
        queries = [AuditQuery(fields=("stage",), actors=("ida",)), AuditQuery(fields=("stage",), q="w0")]
    took = [min([await _count_ms(database, query, group) for _ in range(AGAIN)]) for query in queries]
    return group, f"{whole:.0f}", f"{percentile(took, 99):.0f}"


async def _count_ms(database: Database, query: AuditQuery, group: str) -> float:
    async with snapshot(database.pool) as connection:
        started_s = time.perf_counter()
        await counted(connection, AuditFilter.of(query, None), group, "UTC")
        return (time.perf_counter() - started_s) * 1000
