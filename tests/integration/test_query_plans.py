"""Queries that grow with the data use indexes, according to Postgres' plans."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.queries import activity as activity_queries
from projections.queries import audit
from projections.read_models import lists as list_queries
from projections.task_search import task_states

ROWS = 40_000
FILL = """
    INSERT INTO audit (
        partition, "offset", outcome, stream, version, event_id, recorded_at, list_id, left_list_id, activity
    )
    SELECT n % 4, n / 4, 'accepted', 'task:' || n / 8, n % 8 + 1, md5('event ' || n)::uuid, now(),
        md5('list ' || n % 400)::uuid, CASE WHEN n % 50 = 0 THEN md5('list ' || n % 399)::uuid END,
        CASE WHEN n % 7 > 0 THEN 'edited' END
    FROM generate_series(0, $1 - 1) AS n
"""
FILL_LISTS = """
    INSERT INTO lists (
        id, name, inbox, members, stages, version, created_at, created_by, updated_at, deleted_at
    )
    SELECT 'list ' || n, 'L', false, jsonb_build_object('user ' || n % 4000, 'owner', 'all', 'viewer'),
        '[]', 2, now(), 'x', now(), CASE WHEN n % 2 = 0 THEN now() END
    FROM generate_series(0, $1 - 1) AS n
"""


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield an audit that is large enough for the plans of a large one."""
    schema = f"q_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("none", "none", 4))
    opened = await open_database(database_url, schema, pool_size=1)
    await opened.pool.execute(FILL, ROWS)
    await opened.pool.execute(FILL_LISTS, ROWS)
    await opened.pool.execute("ANALYZE audit, lists")
    yield opened
    await opened.close()


async def plan_of(database: Database, sql: str, *arguments: object, may_sort: bool = False) -> str:
    """Return the plan for a table that is too large to be read whole, or to be sorted unless it
    `may_sort`."""
    async with database.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        await connection.execute(f"SET LOCAL enable_sort = {'on' if may_sort else 'off'}")
        rows = await connection.fetch(f"EXPLAIN {sql}", *arguments)
        return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize(
    ("sql", "arguments", "index"),
    [
        (audit.HISTORY, ("task:x", 7, 51), "audit_by_stream"),
        (task_states.AT_VERSION, ("task:x", 7), "audit_by_stream"),
        (task_states.NEWEST, (["x"],), "audit_by_stream"),
        (
            "SELECT 1 FROM audit WHERE event_id = $1 AND outcome = 'accepted'",
            (str(uuid4()),),
            "audit_by_event",
        ),
    ],
)
async def test_single_streams_and_events_are_found_by_index(
    database: Database, sql: str, arguments: tuple[object, ...], index: str
) -> None:
    """However long the log is."""
    plan = await plan_of(database, sql, *arguments)
    assert re.search(rf"Index Scan (Backward )?using {index}", plan), plan
    assert "Sort" not in plan


async def test_activity_feed_follows_its_indexes(database: Database) -> None:
    """Backwards from the start of a page, in each list and partition, however much is there or hidden."""
    partitions = [0, 1, 2, 3]
    plan = await plan_of(
        database,
        activity_queries.ENTRIES,
        partitions,
        [1000] * 4,
        [2000] * 4,
        [str(uuid4()), str(uuid4())],
        250,
        may_sort=True,
    )
    conditions = _conditions(plan)
    # The second index holds also what is not in the feed. Which is cheaper depends on what has been vacuumed.
    inside = conditions.get("audit_by_activity") or conditions.get("audit_by_list", "")
    for condition, key in ((inside, "list_id"), (conditions.get("audit_by_left_list", ""), "left_list_id")):
        assert f"({key} = wanted" in condition, plan
        assert "(partition = s.partition)" in condition, plan
        assert '("offset" >= s.first) AND ("offset" <= s.last)' in condition, plan
    assert "partition = " in conditions["audit_pkey"], plan
    assert '"offset" = ' in conditions["audit_pkey"], plan
    assert "Seq Scan" not in plan
    taken = await plan_of(database, activity_queries.TAKEN, partitions, [999] * 4, may_sort=True)
    assert '"offset" = ' in _conditions(taken)["audit_pkey"], taken


@pytest.mark.parametrize(
    ("sql", "arguments"),
    [(list_queries.DELETED_PAGE, (None, None, 51)), (list_queries.MAY_RESTORE, ("list 8",))],
)
async def test_deleted_lists_are_found_by_their_owner(
    database: Database, sql: str, arguments: tuple[object, ...]
) -> None:
    """However many other users have."""
    owner = ['{"user 8": "owner"}']
    plan = "\n".join(row[0] for row in await database.pool.fetch(f"EXPLAIN {sql}", owner, *arguments))
    assert "deleted_lists_by_member" in plan or "lists_pkey" in plan, plan
    assert "Seq Scan" not in plan
    if sql == list_queries.DELETED_PAGE:
        rows = await database.pool.fetch(sql, owner, *arguments)
        assert {row["id"] for row in rows} == {f"list {n}" for n in range(8, ROWS, 4000)}


def _conditions(plan: str) -> dict[str, str]:
    """Return the conditions looked up in each index."""
    found = re.findall(r"Index (?:Only )?Scan (?:Backward )?using (\w+) on .*\n\s*Index Cond: (.*)", plan)
    return dict(found)
