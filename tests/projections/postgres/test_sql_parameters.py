"""Statements with arrays: PostgreSQL keeps their plans, however many values the arrays have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from api.node import SESSION
from app.search.criteria import criteria_of
from app.search.parser import parse
from benchmarks.many_tasks import NOW, fill, list_id
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database, asyncpg_dsn
from projections.queries.sub_tasks import lines, tops
from projections.queries.tasks import TaskQueries
from projections.queries.visibility import MemberVisibility
from projections.read_models import lists, tasks
from projections.task_search.ordering import Order
from projections.task_search.task_states import states

CUSTOM_PLANS = 5
"""The plans that PostgreSQL makes for actual values before it considers to keep one for any values."""
ID, OTHER_ID = (f"20000000-0000-7000-8000-{number:012d}" for number in (1, 2))


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    schema = f"p_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("none", "none", 4))
    filling = await asyncpg.connect(
        asyncpg_dsn(database_url), server_settings={"search_path": f"{schema}_g1"}
    )
    await fill(filling, 4_000)
    await filling.close()
    opened = await open_database(database_url, schema, pool_size=1, server_settings=SESSION)
    yield opened
    await opened.close()


async def page(database: Database, user: str, text: str) -> None:
    criteria = criteria_of(parse(text, me=user), now=NOW, zone=ZoneInfo("UTC"))
    found = await TaskQueries(database.pool).page(user, criteria, Order("rank"), after=None, limit=50)
    assert found.items


@pytest.mark.parametrize(
    "ask",
    [
        lambda database: tasks.load(database.pool, [ID]),
        lambda database: tasks.load(database.pool, [ID, OTHER_ID]),
        lambda database: lists.load(database.pool, [list_id(1)]),
        lambda database: states(database.pool, [ID]),
        lambda database: states(database.pool, [ID], NOW),
        lambda database: lines(database.pool, [ID]),
        lambda database: lines(database.pool, [ID, OTHER_ID]),
        lambda database: tops(database.pool, [ID]),
        lambda database: tops(database.pool, [ID, OTHER_ID]),
        lambda database: TaskQueries(database.pool).one("alice", ID),
        lambda database: page(database, "alice", ""),
        lambda database: page(database, "alice", 'list:"List 1" -#home'),
        lambda database: MemberVisibility(database).lists_at("alice"),
        lambda database: MemberVisibility(database).list_of_task_at("alice", ID),
    ],
)
async def test_a_statement_is_planned_a_few_times_only(
    database: Database, ask: Callable[[Database], Awaitable[object]]
) -> None:
    """Also if its arrays have one or two values, for which another plan would be a little cheaper."""
    await database.pool.expire_connections()
    for _ in range(2 * CUSTOM_PLANS):
        await ask(database)
    planned = await database.pool.fetch("SELECT statement, custom_plans FROM pg_prepared_statements")
    assert not [each["statement"] for each in planned if each["custom_plans"] > CUSTOM_PLANS]
