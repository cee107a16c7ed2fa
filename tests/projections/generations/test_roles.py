"""The roles of API processes and auditors, on a server whose owner of the tables is no superuser."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from app.errors import Invalid, Unavailable
from projections.audit_sql.session import AuditSql
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.generations.roles import DatabaseRole, ensure_roles
from projections.generations.swap import swap
from tests.projections.audit_sql.conftest import as_role

SCHEMA = "tasktape"


@pytest.fixture
async def managed(database_url: str) -> AsyncIterator[str]:
    """Yield the address of a new database for its owner, who may create roles and no more."""
    name = f"m_{uuid4().hex[:12]}"
    server = await asyncpg.connect(database_url)
    await server.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'secret'")
    await server.execute(f"CREATE DATABASE {name} OWNER {name}")
    yield make_url(as_role(database_url, name)).set(database=name).render_as_string(hide_password=False)
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


def role_of(url: str, right: str) -> tuple[str, DatabaseRole]:
    """Return the address for a new role, and the role."""
    found = as_role(url, f"{right}_{uuid4().hex[:12]}")
    return found, DatabaseRole.of_url(found, "read" if right == "read" else "query")


async def test_managed_server_needs_no_superuser(managed: str) -> None:
    """It keeps functions that wait, which our guard refuses."""
    await set_up(managed, SCHEMA, LogIdentity("memory", "memory", 1))
    api_url, api = role_of(managed, "read")
    sql_url, auditor = role_of(managed, "query")
    for _ in range(2):
        kept = await ensure_roles(managed, SCHEMA, [api, auditor])
        assert any("pg_sleep" in right for right in kept)
    database = await open_database(api_url, SCHEMA, pool_size=1)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.pool.execute("DELETE FROM audit")
    audit_sql = AuditSql(sql_url, database.live, SCHEMA)
    assert json.loads((await audit_sql.run("select count(*) from events")).body)["rows"] == [[0]]
    with pytest.raises(Invalid):
        await audit_sql.run("select pg_sleep(60)")
    await database.close()


async def test_role_that_cannot_be_created_is_named(managed: str, database_url: str) -> None:
    """An administrator's role is used as it is."""
    await set_up(managed, SCHEMA, LogIdentity("memory", "memory", 1))
    server = await asyncpg.connect(database_url)
    await server.execute(f"ALTER ROLE {make_url(managed).username} NOCREATEROLE")
    sql_url, auditor = role_of(managed, "query")
    with pytest.raises(Unavailable, match=f"the role {auditor.name} does not exist, and cannot be created"):
        await ensure_roles(managed, SCHEMA, [auditor])
    await server.execute(f"CREATE ROLE {auditor.name} LOGIN PASSWORD 'secret'")
    await server.close()
    await ensure_roles(managed, SCHEMA, [auditor])
    database = await open_database(managed, SCHEMA, pool_size=1)
    assert (await AuditSql(sql_url, database.live, SCHEMA).run("select 1")).truncated is False
    await database.close()


async def test_owner_of_the_tables_is_refused_as_the_role_of_auditors(managed: str) -> None:
    await set_up(managed, SCHEMA, LogIdentity("memory", "memory", 1))
    with pytest.raises(Unavailable, match="owns the tables"):
        await ensure_roles(managed, SCHEMA, [DatabaseRole.of_url(managed, "query")])


@pytest.mark.parametrize("dropped", [f"SCHEMA {SCHEMA} CASCADE", f"TABLE {SCHEMA}.database_roles"])
async def test_lost_names_of_roles_are_found_by_their_rights(managed: str, dropped: str) -> None:
    """A worker knows no addresses of roles, and creates read models that they can read."""
    identity = LogIdentity("memory", "memory", 1)
    await set_up(managed, SCHEMA, identity)
    api_url, api = role_of(managed, "read")
    sql_url, auditor = role_of(managed, "query")
    await ensure_roles(managed, SCHEMA, [api, auditor])
    owner = await asyncpg.connect(managed)
    await owner.execute(
        f"CREATE ROLE other_{api.name}; GRANT USAGE ON SCHEMA {SCHEMA}_g1 TO other_{api.name}"
    )
    await owner.execute(f"GRANT SELECT ON {SCHEMA}_g1.audit TO other_{api.name}")
    await owner.execute(f"DROP {dropped}")
    await set_up(managed, SCHEMA, identity)
    rows = await owner.fetch(f"SELECT name, may FROM {SCHEMA}.database_roles")
    assert {row["name"]: row["may"] for row in rows} == {api.name: "read", auditor.name: "query"}
    await owner.close()
    database = await open_database(api_url, SCHEMA, pool_size=1)
    assert await database.pool.fetchval("SELECT count(*) FROM audit") == 0
    audit_sql = AuditSql(sql_url, database.live, SCHEMA)
    assert json.loads((await audit_sql.run("select count(*) from events")).body)["rows"] == [[0]]
    await database.close()


async def test_damaged_generation_and_dropped_role_do_not_prevent_a_start(managed: str) -> None:
    identity = LogIdentity("memory", "memory", 1)
    await set_up(managed, SCHEMA, identity)
    _, former = role_of(managed, "query")
    await ensure_roles(managed, SCHEMA, [former])
    owner = await asyncpg.connect(managed)
    await owner.execute(f"DROP TABLE {SCHEMA}_g1.tasks CASCADE")
    for kind in ("SCHEMA", "ALL TABLES IN SCHEMA"):
        await owner.execute(f"REVOKE ALL ON {kind} {SCHEMA}_g1_views FROM {former.name}")
    await owner.execute(f"DROP ROLE {former.name}")
    await owner.close()
    assert await set_up(managed, SCHEMA, identity) == 2
    sql_url, auditor = role_of(managed, "query")
    await ensure_roles(managed, SCHEMA, [auditor])
    await swap(managed, SCHEMA, 2)
    database = await open_database(managed, SCHEMA, pool_size=1)
    assert (await AuditSql(sql_url, database.live, SCHEMA).run("select count(*) from events")).body
    await database.close()
