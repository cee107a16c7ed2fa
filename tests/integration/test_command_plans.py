"""Queries of command decisions use indexes, according to Postgres' plans."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.queries import decisions as command_queries
from projections.queries import sub_tasks
from projections.read_models import comments as comment_queries
from tests.integration.stack import Stack

ID = str(uuid4())


@pytest.fixture(scope="module")
async def database(running_stack: Stack) -> AsyncIterator[Database]:
    schema = running_stack.environment["TASKTAPE_SCHEMA"]
    opened = await open_database(
        running_stack.database_url, schema, pool_size=1, server_settings={"enable_seqscan": "off"}
    )
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("sql", "arguments", "conditions"),
    [
        (command_queries.OCCUPIED, (ID,), {"tasks_by_stage": ["list_id"]}),
        (command_queries.LAST, (ID, ID), {"tasks_by_list": ["list_id"]}),
        (
            command_queries.NEIGHBOUR,
            (ID, ID, ID, ID),
            {"tasks_pkey": ["id"], "tasks_by_list": ["list_id", "rank"]},
        ),
        (command_queries.RECENT, ("task:x", 2**53, 100), {"audit_by_stream": ["stream", "version"]}),
        (sub_tasks.BELOW, (ID, 10, 501), {"tasks_by_parent": ["parent_id"]}),
        (
            sub_tasks.ALONG,
            (ID, 10, ID, 501),
            {"tasks_by_parent": ["parent_id"], "audit_by_stream": ["stream"]},
        ),
        (sub_tasks.TOPS, ([ID], 10), {"tasks_pkey": ["id"]}),
        (
            comment_queries.PAGE,
            (ID, datetime.now(UTC), ID, 51),
            {"comments_by_task": ["task_id", "created_at"]},
        ),
    ],
    ids=["stages", "end", "neighbours", "changes", "below", "along", "above", "comments"],
)
async def test_every_query_has_its_index(
    database: Database, sql: str, arguments: tuple[object, ...], conditions: dict[str, list[str]]
) -> None:
    """On the columns that restrict it, and no table is read whole."""
    async with database.pool.acquire() as connection, connection.transaction():
        # What is cheap while there is nothing there would hide the index.
        await connection.execute("SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off")
        rows = await connection.fetch(f"EXPLAIN {sql}", *arguments)
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    found = dict(re.findall(r"using (\w+) on [^\n]*\n\s+Index Cond: ([^\n]*)", plan))
    for index, columns in conditions.items():
        assert index in found, plan
        assert all(re.search(rf"\b{column}\b", found[index]) for column in columns), plan
