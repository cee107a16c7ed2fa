"""The rights of roles in each generation: API processes read its tables, and auditors its views.

A control table has the names of the roles, so whoever creates a generation gives them their rights in it.
"""

from __future__ import annotations

from sqlalchemy import inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from projections.generations.view_schemas import ensure_views
from projections.postgres.engines import quoted
from projections.postgres.live_generation import generation_schema, views_schema
from projections.postgres.tables import database_roles


async def grant_rights(connection: AsyncConnection, control_schema: str, number: int) -> None:
    """Give the roles their rights in a generation."""
    if not await connection.run_sync(
        lambda each: inspect(each).has_table(database_roles.name, control_schema)
    ):
        return  # of a release that had no roles
    for role in (await connection.execute(select(database_roles))).all():
        if role.may == "read":
            await let_read(connection, generation_schema(control_schema, number), role.name)
        else:
            await ensure_views(connection, control_schema, number)
            await let_read(connection, views_schema(control_schema, number), role.name)


async def let_read(connection: AsyncConnection, schema: str, role: str) -> None:
    """Let a role read all tables and views of a schema."""
    await connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role)}")
    await connection.exec_driver_sql(
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {quoted(schema)} TO {quoted(role)}"
    )
