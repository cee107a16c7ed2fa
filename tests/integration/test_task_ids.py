"""Tasks by a part of their ids: by index, on the real parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.queries.task_ids import BY_ID_PART, CANDIDATES, FOUND, tasks_by_id_part

TASKS = 30_000
FILL = """
    INSERT INTO tasks (
        id, list_id, title, notes, status, priority, tags, assignees, recurrence_from, reminders, reminded,
        comment_count, rank, version, created_at, created_by, updated_at, priority_order, title_order,
        status_bucket, facets, since, known_since
    )
    SELECT '0190f3c0-0000-7000-8000-' || lpad(to_hex(n), 12, '0'),
        'list ' || n % 2, 'T' || n, '', 'open', 'none', '{}', '{}', 'due', '[]', '{}',
        0, 'a', 1, now(), 'x', now(), 0, '', 0, '{}', now(), now()
    FROM generate_series(0, $1 - 1) AS n
"""
MEMBERS = """
    INSERT INTO list_members (list_id, user_id, role)
    VALUES ('list 0', 'alice', 'owner'), ('list 1', 'bob', 'owner')
"""


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield many tasks, every other one of them alice's."""
    schema = f"i_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("none", "none", 4))
    opened = await open_database(database_url, schema, pool_size=1)
    await opened.pool.execute(FILL, TASKS)
    await opened.pool.execute(MEMBERS)
    await opened.pool.execute("ANALYZE tasks")
    yield opened
    await opened.close()


async def found(database: Database, part: str, user: str = "alice") -> tuple[list[str], bool]:
    """Return the titles of the tasks with a part, and whether there may be more."""
    async with database.pool.acquire() as connection:
        names = await tasks_by_id_part(connection, user, part)
    return [each.title for each in names.items], names.more


@pytest.mark.parametrize(
    ("part", "user", "titles"),
    [
        (f"{7000:07x}", "alice", ["T7000"]),
        (f"{7000:07x}", "bob", []),
        (f"0190f3c0-0000-7000-8000-{7000:012x}", "alice", ["T7000"]),
        (f"0190f3c0-0000-7000-8000-{7000:012x}"[:-1], "alice", [f"T{n}" for n in range(6992, 7008, 2)]),
        ("ffffffff", "alice", []),
        ("----", "alice", []),
    ],
)
async def test_tasks_are_found_by_the_beginning_and_end_of_their_ids(
    database: Database, part: str, user: str, titles: list[str]
) -> None:
    """Among any number, and only the user's own."""
    assert await found(database, part, user) == (titles, False)


async def test_too_many_matches_are_reported(database: Database) -> None:
    """Of the user's own, or among the examined ones of others."""
    titles, more = await found(database, "0190f3c0")
    assert (len(titles), more) == (FOUND, True)
    assert TASKS > CANDIDATES


async def test_ids_are_looked_up_by_index(database: Database) -> None:
    """The beginning by the primary key, the end by an index of its own."""
    arguments: list[Any] = ["alice", "0190", "0191", "f3a", "f3ag", CANDIDATES, FOUND + 1]
    async with database.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")  # as the API does
        rows = await connection.fetch(f"EXPLAIN {BY_ID_PART}", *arguments)
    plan = "\n".join(row[0] for row in rows)
    assert "tasks_by_end_of_id" in plan
    assert "tasks_pkey" in plan
    assert "Seq Scan on tasks" not in plan
