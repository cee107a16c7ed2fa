"""SQL over the audit: over HTTP, beside commands, after a rebuild; and the rights of the API's role."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.settings import Settings
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.read_models.registry import GENERATION_TABLES
from streams.rebuilding import rebuild_all
from tests.fork_server import WORKER, fork_server
from tests.integration.stack import Stack
from tests.waiting import eventually

FOR_EVER = "select count(*) from generate_series(1, 1000000) as t(a), generate_series(1, 1000000) as u(b)"
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}


@pytest.fixture
async def admin(running_stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with running_stack.client(f"admin-{uuid4().hex[:8]}", admin=True) as client:
        yield client


@pytest.fixture
async def as_api(running_stack: Stack) -> AsyncIterator[Database]:
    """Yield the database as API processes open it."""
    settings = Settings.from_environment(running_stack.environment)
    assert settings.api_database_url is not None
    database = await open_database(settings.api_database_url, settings.schema_name, pool_size=1)
    yield database
    await database.close()


async def ask(client: httpx.AsyncClient, sql: str, **more: object) -> httpx.Response:
    return await client.post("/api/audit/sql", json={"sql": sql, **more})


async def moved_task(stack: Stack, user: str) -> str:
    """Return a task of a user that was renamed."""
    async with stack.client(user) as client:
        task_id: str = (await client.post("/api/tasks", json={"title": "Pay rent"})).json()["id"]
        changed = await client.patch(f"/api/tasks/{task_id}", json={"title": "Pay the rent"})
        assert changed.status_code == 200, changed.text
    return task_id


async def test_changes_of_anybody_are_found(running_stack: Stack, admin: httpx.AsyncClient) -> None:
    user = f"user-{uuid4().hex[:8]}"
    task_id = await moved_task(running_stack, user)
    which = f"stream = 'task:{task_id}' and field = 'title'"
    sql = f"select actor, before, after from changes where {which} order by version"
    answer = await ask(admin, sql)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "columns": [
            {"name": "actor", "type": "text"},
            {"name": "before", "type": "jsonb"},
            {"name": "after", "type": "jsonb"},
        ],
        "rows": [[user, None, "Pay rent"], [user, "Pay rent", "Pay the rent"]],
        "truncated": False,
    }
    assert answer.headers["tasktape-truncated"] == "false"


async def test_auditors_ask_and_it_is_recorded(running_stack: Stack) -> None:
    """A statement that is refused is not."""
    user = f"auditor-{uuid4().hex[:8]}"
    sql = f"select data ->> 'question' from events where type = 'user.audit_read' and actor = '{user}'"
    async with running_stack.client(user, auditor=True) as client:
        assert (await ask(client, "select pg_sleep(1)")).status_code == 422

        async def is_recorded() -> bool:
            rows: list[list[str]] = (await ask(client, sql)).json()["rows"]
            return rows == [[sql]]

        await eventually(is_recorded)


async def test_other_formats(running_stack: Stack, admin: httpx.AsyncClient) -> None:
    sql = "select 1 as a union all select 2 order by 1"
    bodies = {}
    for form, media_type in TYPES.items():
        answer = await ask(admin, sql, format=form, limit=1)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert answer.headers["tasktape-truncated"] == "true"
        bodies[form] = answer.content
    assert bodies["csv"] == b"a\r\n1\r\n"
    assert pa.ipc.open_stream(bodies["arrow"]).read_all().to_pylist() == [{"a": 1}]
    assert parquet.read_table(io.BytesIO(bodies["parquet"])).to_pylist() == [{"a": 1}]


async def test_bad_requests_are_named(running_stack: Stack, admin: httpx.AsyncClient) -> None:
    answer = await ask(admin, "select acter from events")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    [error] = answer.json()["errors"]
    assert (error["field"], error["at"], error["length"]) == ("sql", 7, 5)
    for body in ({}, {"sql": ""}, {"sql": "x" * 20_001}, {"sql": "select 1", "limit": 0}, {"sql": 1}):
        assert (await admin.post("/api/audit/sql", json=body)).status_code == 422
    assert (await ask(admin, "select 1", format="xml")).status_code == 422
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as client:
        assert (await ask(client, "select 1")).status_code == 403


async def test_command_line_shows_and_writes_results(running_stack: Stack, tmp_path: Path) -> None:
    environment = running_stack.environment | {
        "TASKTAPE_URL": running_stack.urls[0],
        "TASKTAPE_TOKEN": running_stack.token("auditor", admin=True),
    }

    async def run(*options: str) -> tuple[int, str, str]:
        return await fork_server(WORKER).run(("audit", "sql", *options), environment)

    sql = "select n, 'it''s' as text from (values (1), (null)) as t(n) order by n"
    status, out, err = await run(sql)
    assert (status, err) == (0, "")
    assert out == "n  text\n-  ----\n1  it's\n   it's\n"
    file = tmp_path / "result.parquet"
    status, out, err = await run(sql, "--format", "parquet", "--limit", "1", "--output", str(file))
    assert (status, out, err) == (0, "", "The query has more rows: see --limit.\n")
    assert parquet.read_table(file).to_pylist() == [{"n": 1, "text": "it's"}]
    status, out, err = await run("select pg_sleep(1)")
    assert (status, out) == (1, "")
    assert err == "Error: sql: PostgreSQL's own functions and catalogs may not be used\n"


async def test_statement_of_a_client_that_goes_is_stopped(
    running_stack: Stack, admin: httpx.AsyncClient
) -> None:
    """As many as may run at once: a further one is refused, and commands beside them stay quick."""
    database = await asyncpg.connect(running_stack.database_url)

    async def running() -> int:
        name = f"sql_{running_stack.name}"
        found: int = await database.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state = 'active'", name
        )
        return found

    async def are_running(count: int) -> bool:
        return await running() == count

    asked = [asyncio.create_task(ask(admin, FOR_EVER)) for _ in range(4)]
    await eventually(lambda: are_running(4))
    refused = await ask(admin, "select 1")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
    async with running_stack.client(f"user-{uuid4().hex[:8]}") as client:
        began = time.monotonic()
        assert (await client.post("/api/tasks", json={"title": "Beside"})).status_code == 201
        assert time.monotonic() - began < 30
    for each in asked:
        each.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await eventually(lambda: are_running(0))
    await eventually_answered(admin)
    await database.close()


async def eventually_answered(client: httpx.AsyncClient) -> None:
    async def is_answered() -> bool:
        return (await ask(client, "select 1")).status_code == 200

    await eventually(is_answered)


async def test_views_and_rights_follow_a_rebuild(
    running_stack: Stack, admin: httpx.AsyncClient, as_api: Database
) -> None:
    user = f"user-{uuid4().hex[:8]}"
    task_id = await moved_task(running_stack, user)
    before = as_api.live.number
    await rebuild_all(Settings.from_environment(running_stack.environment))
    await as_api.follow()
    assert as_api.live.number > before
    sql = f"select count(*) from task_versions where id = '{task_id}'"
    assert (await ask(admin, sql)).json()["rows"] == [[2]]
    assert await moved_task(running_stack, user)
    await check_api_only_reads(as_api)


async def test_role_of_the_api_only_reads(as_api: Database) -> None:
    await check_api_only_reads(as_api)


async def check_api_only_reads(database: Database) -> None:
    """Check that each way to change a table is refused."""
    control = database.control_schema
    tables = [f'"{database.live.schema}".{table.name}' for table in GENERATION_TABLES]
    tables += [f'"{control}".{name}' for name in ("generations", "policy_checkpoints", "database_roles")]
    for table in tables:
        assert await database.pool.fetchval(f"SELECT count(*) FROM {table}") >= 0
        for statement in (
            f"INSERT INTO {table} DEFAULT VALUES",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"DROP TABLE {table}",
            f"ALTER TABLE {table} ADD COLUMN x int",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.pool.execute(statement)
    for statement in (
        "UPDATE audit SET actor = 'mallory'",
        "UPDATE checkpoints SET next_offset = 0",
        f'CREATE TABLE "{control}".x (a int)',
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        f"SET ROLE {await database.pool.fetchval('SELECT tableowner FROM pg_tables LIMIT 1')}",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.pool.execute(statement)
