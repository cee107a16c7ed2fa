"""Questions to an audit of many events: the pages that Postgres reads, according to its plans."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from api.node import SESSION
from app.audit.filters import FILTERS
from app.audit.query import SORTS, AuditQuery, read_query
from benchmarks import audit_questions, many_events
from benchmarks.many_events import list_id
from projections.audit_search.conditions import AuditFilter, Scope
from projections.audit_search.finding import Finder
from projections.audit_search.orders import Order, Place
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database, asyncpg_dsn
from projections.postgres.snapshots import snapshot
from tests.integration.test_finding_plans import Watched, examined

EVENTS = 100_000
PAGE = 51
MOST_EXAMINED = 60_000
"""Rows for one page, whether they were of use or not."""
MOST_BUFFERS = 12_000
"""Pages of 8 KiB."""


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield a database of many events, with sessions like the API's."""
    schema = f"e_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 1))
    filling = await asyncpg.connect(
        asyncpg_dsn(database_url), server_settings={"search_path": f"{schema}_g1"}
    )
    await many_events.fill(filling, EVENTS)
    await filling.close()
    opened = await open_database(database_url, schema, pool_size=1, server_settings=SESSION)
    yield opened
    await opened.close()


def test_questions_have_every_filter() -> None:
    assert audit_questions.drawn_filters() == set(FILTERS)


FAR = [
    read_query([("actor", "ida")]),
    read_query([("actor", "ida"), ("type", "task.*")]),
    read_query([("actor", "ida"), ("q", "w0")]),
    read_query([("actor", "dora"), ("list_id", list_id(0))]),
    read_query([("outcome", "parked")]),
    read_query([("q", "-w0"), ("actor", "ida")]),
]
"""Questions whose answers are far from an end of each order."""


@pytest.mark.parametrize("filters", [0, 1, 2, 3, 5])
async def test_reading_for_a_page_is_bounded(database: Database, filters: int) -> None:
    """For drawn questions, in any order, for the first page and for the last one."""
    draw = random.Random(filters)
    for number in range(1 if filters == 0 else 24):
        query = audit_questions.question(draw, EVENTS, filters)
        await check(database, query, SORTS[number % len(SORTS)], None)


@pytest.mark.parametrize("query", FAR, ids=lambda query: str(query.parameters()))
async def test_matches_far_away_are_found_without_reading_all(database: Database, query: AuditQuery) -> None:
    for sort in SORTS:
        await check(database, query, sort, None)


@pytest.mark.parametrize("lists", [1, 40, 400])
async def test_reading_for_a_member_is_bounded(database: Database, lists: int) -> None:
    scope = Scope([list_id(number) for number in range(1, lists + 1)], ["user:member"])
    for query in (AuditQuery(), *FAR[:3]):
        for sort in ("-time", "position"):
            await check(database, query, sort, scope)


async def check(database: Database, query: AuditQuery, sort: Any, scope: Scope | None) -> None:
    """Check what is read for the first page, and for the one after the last match but one."""
    chosen, order = AuditFilter.of(query, scope), Order.of(sort)
    async with snapshot(database.pool) as connection:
        watched: Any = Watched(connection)
        places = await Finder(watched, chosen, order, PAGE).find(None)
        check_reading(watched, query, sort)
        if len(places) == PAGE:
            last = await _last(connection, query, order, scope)
            again: Any = Watched(connection)
            assert len(await Finder(again, chosen, order, PAGE).find(last)) <= 1
            check_reading(again, query, sort)


async def _last(connection: Any, query: AuditQuery, order: Order, scope: Scope | None) -> Place:
    """Return the place of the last match but one."""
    backwards = Order(order.column, descending=not order.descending)
    return (await Finder(connection, AuditFilter.of(query, scope), backwards, 2).find(None))[1]


def check_reading(watched: Watched, query: AuditQuery, sort: str) -> None:
    """Check that no table is read whole, and that rows and pages read are bounded."""
    where = f"{query.parameters()} {sort}"
    read = [node for node in watched.nodes() if node.get("Relation Name") == "audit_search"]
    assert "Seq Scan" not in {node["Node Type"] for node in read}, where
    rows = sum(map(examined, read))
    assert rows <= MOST_EXAMINED, where
    buffers = sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in watched.plans)
    assert buffers <= MOST_BUFFERS, where
