"""The rights of roles in each generation: API processes read its tables, and auditors its views.

A control table has the names of the roles, so whoever creates a generation gives them their rights in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from projections.generations.view_schemas import ensure_views
from projections.postgres.engines import quoted
from projections.postgres.live_generation import generation_schema, views_schema
from projections.postgres.tables import database_roles

_REMEMBER = """
    INSERT INTO "{control}".database_roles (name, may)
    SELECT rolname, max(CASE WHEN nspname ~ '_views$' THEN 'query' ELSE 'read' END)
    FROM pg_namespace AS n, aclexplode(nspacl) AS acl JOIN pg_roles ON pg_roles.oid = grantee
    WHERE nspname ~ :pattern AND grantee <> nspowner AND privilege_type = 'USAGE'
        AND NOT EXISTS (SELECT FROM "{control}".database_roles)
    GROUP BY rolname
    HAVING bool_and(NOT EXISTS (
        SELECT FROM pg_class WHERE relnamespace = n.oid AND relkind IN ('r', 'v')
            AND NOT has_table_privilege(grantee, pg_class.oid, 'SELECT')
    ))
"""


async def restore_rights(connection: AsyncConnection, control_schema: str) -> None:
    """Give the roles their rights in the control tables, some of which may have been created again.

    If the names of the roles were lost, they are those that can read all of a generation that is left.
    """
    pattern = {"pattern": f"^{control_schema}_g[0-9]{{1,9}}(_views)?$"}
    await connection.execute(text(_REMEMBER.format(control=control_schema)), pattern)
    for role in await _roles(connection):
        if role.may == "read":
            await let_read(connection, control_schema, role.name)


async def grant_rights(connection: AsyncConnection, control_schema: str, number: int) -> None:
    """Give the roles their rights in a generation."""
    if not await connection.run_sync(
        lambda each: inspect(each).has_table(database_roles.name, control_schema)
    ):
        return  # of a release that had no roles
    for role in await _roles(connection):
        if role.may == "read":
            await let_read(connection, generation_schema(control_schema, number), role.name)
        else:
            await ensure_views(connection, control_schema, number)
            await let_read(connection, views_schema(control_schema, number), role.name)


async def _roles(connection: AsyncConnection) -> Sequence[Row[tuple[str, str]]]:
    """Return the roles, without those that were dropped."""
    exists = text("name IN (SELECT rolname FROM pg_roles)")
    return (await connection.execute(select(database_roles).where(exists))).all()


async def let_read(connection: AsyncConnection, schema: str, role: str) -> None:
    """Let a role read all tables and views of a schema."""
    await connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role)}")
    await connection.exec_driver_sql(
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {quoted(schema)} TO {quoted(role)}"
    )
