"""Statements under the role of auditors: exact values, limits, and what neither guard lets through."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.errors import FieldError, Invalid, Unavailable
from projections.audit_sql.limits import MAX_ROW_BYTES
from projections.audit_sql.session import AuditSql
from tests.projections.audit_sql.conftest import Audited
from tests.waiting import eventually

VALUES = """
    select * from (values (
        1::int2, 2::int4, 9007199254740993::int8, 0.5::float8, 12345678901234567890.123456789::numeric, true,
        '2026-11-30 10:00:00.123456+01'::timestamptz, '2026-11-30'::date,
        '0190f3c0-0000-7000-8000-000000000000'::uuid, '{"a": [1.50]}'::jsonb, array['x', null, 'a,b'],
        array[1.10, 2]::numeric[], 'P1DT2H'::interval, ''::text,
        null::text, '\\x00ff'::bytea
    )) as v(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
"""
TYPES = (
    "int2 int4 int8 float8 numeric bool timestamptz date uuid jsonb text[] numeric[] interval text text bytea"
)
FOR_EVER = "select count(*) from generate_series(1, 1000000) as t(a), generate_series(1, 1000000) as u(b)"
HOSTILE = (
    "select pg_sleep(60)",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('.')",
    "select lo_import('/etc/passwd')",
    "select lo_create(0)",
    "select lo_from_bytea(0, '\\x00')",
    "select set_config('work_mem', '10GB', false)",
    "select set_config('role', 'tasktape', false)",
    "select pg_advisory_lock(1)",
    "select pg_notify('a', 'b')",
    "select pg_terminate_backend(pid) from pg_stat_activity",
    "select pg_cancel_backend(1)",
    "select query_to_xml('select 1', true, true, '')",
    "select * from ts_stat('select ''a''::tsvector')",
    "select pg_logical_emit_message(true, 'a', 'b')",
    "select pg_export_snapshot()",
    "select pg_stat_reset()",
    "select pg_reload_conf()",
    "select * from pg_authid",
    "select * from {tables}.audit",
    "select * from {control}.generations",
    "insert into lists (id) values ('x')",
    "delete from events",
    "with gone as (delete from tasks returning *) select * from gone",
    "select * from events for update",
    "truncate events",
    "drop view events",
    "create table public.x (a int)",
    "create temporary table x (a int)",
    "create function f() returns int language sql as 'select 1'",
    "do $$ begin perform 1; end $$",
    "set role tasktape",
    "set session authorization tasktape",
    "copy events to program 'sh'",
    "copy events to '/tmp/events'",
    "grant select on events to public",
    "alter role current_user superuser",
)


@pytest.fixture
def audit_sql(audited: Audited) -> AuditSql:
    return audited.audit_sql()


@pytest.fixture
async def as_auditor(audited: Audited) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Yield a plain connection of the role, without our guard."""
    connection = await asyncpg.connect(audited.sql_url, server_settings={"search_path": audited.views})
    yield connection
    await connection.close()


async def refused(audit_sql: AuditSql, sql: str, **options: Any) -> FieldError:
    with pytest.raises(Invalid) as caught:
        await audit_sql.run(sql, **options)
    [error] = caught.value.errors
    return error


# --- values ----------------------------------------------------------------------------------------------


async def test_json_has_exact_values(audit_sql: AuditSql) -> None:
    result = json.loads((await audit_sql.run(VALUES)).body)
    assert " ".join(column["type"] for column in result["columns"]) == TYPES
    assert [column["name"] for column in result["columns"]] == list("abcdefghijklmnop")
    assert result["rows"] == [
        [
            *(1, 2, 9007199254740993, 0.5, "12345678901234567890.123456789", True),
            *("2026-11-30T09:00:00.123456+00:00", "2026-11-30", "0190f3c0-0000-7000-8000-000000000000"),
            *({"a": [1.50]}, ["x", None, "a,b"], ["1.10", "2"], "P1DT2H", "", None, "\\x00ff"),
        ]
    ]
    assert result["truncated"] is False


async def test_csv_has_the_texts_of_postgresql(audit_sql: AuditSql) -> None:
    text = (await audit_sql.run(VALUES, "csv")).body.decode()
    header, row = csv.reader(io.StringIO(text))
    assert header == list("abcdefghijklmnop")
    assert row[4:7] == ["12345678901234567890.123456789", "true", "2026-11-30 09:00:00.123456+00"]
    assert text.endswith('P1DT2H,"",,\\x00ff\r\n')


async def test_arrow_and_parquet_have_typed_values(audit_sql: AuditSql) -> None:
    stream = (await audit_sql.run(VALUES, "arrow")).body
    table = pa.ipc.open_stream(stream).read_all()
    same = parquet.read_table(io.BytesIO((await audit_sql.run(VALUES, "parquet")).body))
    assert same.to_pylist() == table.to_pylist()
    [row] = table.to_pylist()
    assert row["c"] == 9007199254740993
    assert row["e"] == Decimal("12345678901234567890.123456789")
    assert str(row["g"]) == "2026-11-30 09:00:00.123456+00:00"
    assert str(table.schema.field("g").type) == "timestamp[us, tz=UTC]"
    assert UUID(str(row["i"])) == UUID("0190f3c0-0000-7000-8000-000000000000")
    assert row["k"] == ["x", None, "a,b"]
    assert (row["n"], row["o"], row["p"]) == ("", None, b"\x00\xff")


async def test_repeated_names_differ_in_arrow(audit_sql: AuditSql) -> None:
    sql = "select 1 as a, 2 as a, 3 as a_2"
    assert [each["name"] for each in json.loads((await audit_sql.run(sql)).body)["columns"]] == [
        "a",
        "a",
        "a_2",
    ]
    names = pa.ipc.open_stream((await audit_sql.run(sql, "arrow")).body).schema.names
    assert len(set(names)) == 3


async def test_values_that_arrow_cannot_have_are_refused(audit_sql: AuditSql) -> None:
    error = await refused(audit_sql, "select 'infinity'::timestamptz as t", form="arrow")
    assert "infinit" in error.message
    assert json.loads((await audit_sql.run("select 'infinity'::timestamptz")).body)["rows"] == [["infinity"]]


# --- limits ----------------------------------------------------------------------------------------------


async def test_more_rows_than_the_limit_are_left_out_in_order(audit_sql: AuditSql) -> None:
    sql = "select generate_series(1, 1000000000) -- a billion"
    result = await audit_sql.run(sql, limit=1_500)
    found = json.loads(result.body)
    assert [n for (n,) in found["rows"]] == list(range(1, 1_501))
    assert result.truncated is found["truncated"] is True
    assert (await audit_sql.run("select n from generate_series(1, 3) as t(n)", limit=3)).truncated is False


async def test_results_end_at_a_number_of_bytes(audit_sql: AuditSql) -> None:
    sql = "select string_agg('0123456789', '') from generate_series(1, 500000) as t(n) group by n % 50"
    result = await audit_sql.run(sql)
    assert (result.truncated, len(json.loads(result.body)["rows"])) == (False, 50)
    wide = "select r.t from (select string_agg('0123456789', '') as t from generate_series(1, 90000)) as r"
    result = await audit_sql.run(f"{wide}, generate_series(1, 100)")
    assert result.truncated
    assert len(result.body) < 17 * 2**20


async def test_row_that_is_too_large_is_named_and_not_sent(audit_sql: AuditSql) -> None:
    sql = "select string_agg('0123456789', '') from generate_series(1, 5000000)"
    error = await refused(audit_sql, sql)
    assert error.message == f"returns 50,000,002 bytes in row 1; a row may have {MAX_ROW_BYTES:,}"


async def test_many_columns_are_refused(audit_sql: AuditSql) -> None:
    error = await refused(audit_sql, f"select {', '.join(['1'] * 101)}")
    assert error.message == "returns 101 columns; a result may have 100"
    assert (await refused(audit_sql, "select from events")).message == "returns no columns"


@pytest.mark.parametrize(
    "sql",
    [
        FOR_EVER,
        "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
        f"{FOR_EVER} where a + b < 0",
    ],
)
async def test_statement_that_runs_for_ever_is_stopped(audited: Audited, sql: str) -> None:
    error = await refused(audited.audit_sql(statement_s=0.5), sql)
    assert error.message.startswith("was stopped: it may take ")
    await eventually(lambda: no_statement_runs(audited))


async def test_statement_that_needs_too_much_memory_fails_alone(audited: Audited) -> None:
    """Four sessions at once: others go on, and the server is not restarted."""
    before = await audited.database.pool.fetchval("SELECT pg_postmaster_start_time()")
    doubled = ", ".join(f"t{n} as (select s || s as s from t{n - 1})" for n in range(1, 28))
    parts = ", ".join(f"t27.s || '{n}'" for n in range(40))
    sql = f"with t0 as (select 'xxxxx' as s), {doubled} select {parts} from t27"
    runs = [refused(audited.audit_sql(), sql) for _ in range(4)]
    for error in await asyncio.gather(*runs):
        assert error.message == "needs more memory than a statement may use"
    assert await audited.database.pool.fetchval("SELECT pg_postmaster_start_time()") == before


async def test_cancelled_statement_stops_in_the_database(audited: Audited, audit_sql: AuditSql) -> None:
    running = asyncio.create_task(audit_sql.run(FOR_EVER))
    await eventually(lambda: a_statement_runs(audited))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await eventually(lambda: no_statement_runs(audited))
    assert not audit_sql.is_busy


async def statements(audited: Audited) -> int:
    found: int = await audited.database.pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", f"sql_{audited.database.control_schema}"
    )
    return found


async def no_statement_runs(audited: Audited) -> bool:
    return await statements(audited) == 0


async def a_statement_runs(audited: Audited) -> bool:
    return await statements(audited) > 0


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql", HOSTILE)
async def test_database_refuses_hostile_statements_alone(
    audited: Audited, as_auditor: asyncpg.Connection[asyncpg.Record], sql: str
) -> None:
    control = audited.database.control_schema
    statement = sql.replace("{tables}", audited.database.live.schema).replace("{control}", control)
    refusals = (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)
    with pytest.raises(refusals):
        await as_auditor.fetch(statement)


@pytest.mark.parametrize("sql", HOSTILE)
async def test_hostile_statements_are_refused_as_errors_of_the_caller(audited: Audited, sql: str) -> None:
    control = audited.database.control_schema
    statement = sql.replace("{tables}", audited.database.live.schema).replace("{control}", control)
    error = await refused(audited.audit_sql(), statement)
    assert "tasktape_" not in error.message.replace(statement, "")


async def test_errors_have_the_place_and_the_nearest_name(audit_sql: AuditSql) -> None:
    error = await refused(audit_sql, "select acter from events")
    assert (error.at, error.length) == (7, 5)
    assert (
        error.message
        == 'column "acter" does not exist; perhaps you meant to reference the column "events.actor"'
    )
    error = await refused(audit_sql, "select * from evnts")
    assert (error.at, error.message) == (14, 'relation "evnts" does not exist; did you mean events?')
    error = await refused(audit_sql, "select 1 as a,\n from events")
    assert (error.at, error.message) == (16, 'syntax error at or near "from"')
    assert (await refused(audit_sql, "select 1 / 0")).message == "division by zero"
    assert "invalid input syntax" in (await refused(audit_sql, "select 'x'::integer")).message


async def test_role_with_more_rights_is_not_used(audited: Audited, database_url: str) -> None:
    """Neither the owner, nor a server that does not answer, nor no role at all."""
    live, control = audited.database.live, audited.database.control_schema
    for url in (database_url, audited.sql_url.replace(":secret@", ":wrong@"), None):
        with pytest.raises(Unavailable) as caught:
            await AuditSql(url, live, control).run("select 1")
        assert "secret" not in caught.value.detail
        assert "wrong" not in caught.value.detail
