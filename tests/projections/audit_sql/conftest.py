"""A database with the views for auditors, and a role that may only read them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from projections.audit_sql.session import AuditSql
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.generations.roles import DatabaseRole, ensure_roles
from projections.postgres.database import Database
from projections.postgres.live_generation import views_schema

PARTITIONS = 2


@dataclass(frozen=True)
class Audited:
    """Tables of the owner, and the address of the role of auditors."""

    database: Database
    sql_url: str

    @property
    def views(self) -> str:
        """The schema of the views."""
        return views_schema(self.database.control_schema, self.database.live.number)

    def audit_sql(self, **options: float) -> AuditSql:
        """Return what runs statements."""
        return AuditSql(self.sql_url, self.database.live, self.database.control_schema, **options)


def as_role(database_url: str, name: str) -> str:
    """Return the address of a database for another role."""
    return make_url(database_url).set(username=name, password="secret").render_as_string(hide_password=False)


@pytest.fixture(scope="module")
async def audited(database_url: str) -> AsyncIterator[Audited]:
    schema = f"v_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    role = DatabaseRole(f"sql_{schema}", "secret", "query")
    assert await ensure_roles(database_url, schema, [role]) == []
    database = await open_database(database_url, schema, pool_size=2)
    yield Audited(database, as_role(database_url, role.name))
    await database.close()
