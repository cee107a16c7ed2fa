"""The guard before PostgreSQL: which statements it lets through, and what it says of the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FieldError, Invalid
from projections.audit_sql.statements import check_statement, without_end

ALLOWED = (
    "select 1",
    "SELECT count(*) FROM events;",
    "(select 1) union (select 2)",
    "values (1), (2)",
    "table lists",
    "with a as (select 1), b(x) as not materialized (select 2) select * from a, b",
    "with recursive t(n) as (values (1) union all select n + 1 from t where n < 5) select * from t",
    "select * from json_to_recordset('[]') as t(a int, b text)",
    "select $$ pg_sleep(1); $$, $a$ $$ dblink( $a$",
    "select 'it''s lo_import(', E'it\\'s lo_import(', \"count\"(*) from events",
    "select /* /* pg_sleep(1) */ ; */ 1 -- pg_sleep(1); drop",
    "select count(*) filter (where type like 'task.%') over (partition by actor order by time) from events",
    "select cast('1' as numeric(10, 2)), '1'::numeric(10, 2), extract(epoch from time) from events",
    "select time at time zone ('UTC'), position, type, key, version from events where type in ('a')",
    "select count(*) from events group by grouping sets ((type), ())",
)
REFUSED = (
    ("", "is empty", None),
    (" ; -- nothing", "is empty", None),
    ("delete from events", "only queries", 0),
    ("explain analyze select 1", "only queries", 0),
    ("do $$ begin end $$", "only queries", 0),
    ("set role tasktape", "only queries", 0),
    ("copy events to program 'sh'", "only queries", 0),
    ("listen x", "only queries", 0),
    ("prepare p as select 1", "only queries", 0),
    ("select 1; drop table audit", "only one statement", 8),
    ("select 1 into copied", "INTO", 9),
    ("select $1", "parameters", 7),
    ("select u&'\\0041'", "U&", 7),
    ('select u&"pg\\005fsleep"(1)', "U&", 7),
    ("select pg_sleep(1)", "PostgreSQL's own", 7),
    ('select "pg_sleep" (1)', "PostgreSQL's own", 7),
    ("select pg_catalog . count(*)", "PostgreSQL's own", 7),
    ("select * from pg_shadow", "PostgreSQL's own", 14),
    ("select * from Information_Schema.tables", "PostgreSQL's own", 14),
    ("select 1 -- hidden \r, pg_sleep(1)", "PostgreSQL's own", 22),
    ("select set_config('role', 'tasktape', false)", "set_config() is not", 7),
    ("select SET_CONFIG /* */ ('role', 'tasktape', false)", "SET_CONFIG() is not", 7),
    ('select "set_config"(1)', '"set_config"() is not', 7),
    ("select repeat('x', 1000000000)", "did you mean replace?", 7),
    ("select lo_import('/etc/passwd')", "lo_import() is not", 7),
    ("select query_to_xml('select 1', true, true, '')", "query_to_xml() is not", 7),
    ("select a from events a, dblink('') as (x int)", "dblink() is not", 24),
    (
        "with a(x) as (select 1), b as (select 1) select 1 from a, dblink('') as (x int)",
        "dblink() is not",
        58,
    ),
    ("select time at time zone lo_get(1) from events", "lo_get() is not", 25),
    ("select 1 operator(pg_catalog.+) lo_get(1)", "operator() is not", 9),
    ("select conut(*) from events", "did you mean count?", 7),
    ("/* select 1", "without an end", 0),
)


@pytest.mark.parametrize("sql", ALLOWED)
def test_queries_that_compute_are_allowed(sql: str) -> None:
    check_statement(sql)


@pytest.mark.parametrize(("sql", "message", "at"), REFUSED, ids=[sql for sql, *_ in REFUSED])
def test_others_are_refused_with_the_place(sql: str, message: str, at: int | None) -> None:
    error = refused(sql)
    assert message in error.message
    assert error.at == at


def test_only_the_end_is_cut_off() -> None:
    assert without_end("select ';' ; ; -- end") == "select ';'"


@given(st.lists(st.sampled_from(" '\"$a\\-*/;()e\nE1_,.[]"), max_size=12).map("".join))
def test_any_text_is_answered_or_refused(text: str) -> None:
    """No text makes the guard fail otherwise, or let a further statement through."""
    try:
        check_statement(f"select {text}")
    except Invalid:
        return
    assert without_end(f"select {text}")


def refused(sql: str) -> FieldError:
    with pytest.raises(Invalid) as caught:
        check_statement(sql)
    [error] = caught.value.errors
    assert error.field == "sql"
    return error
