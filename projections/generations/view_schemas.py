"""The schemas of the views for auditors, one for each generation."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema, DropSchema

from projections.audit_sql.views import FINGERPRINT, VIEWS
from projections.postgres.live_generation import generation_schema, views_schema

_FOUND = """
    SELECT obj_description(to_regnamespace(:schema), 'pg_namespace') AS fingerprint,
        (SELECT count(*) FROM pg_class
         WHERE relnamespace = to_regnamespace(:schema) AND relkind = 'v') AS views
"""


async def ensure_views(connection: AsyncConnection, control_schema: str, number: int) -> None:
    """Create the views of a generation, if it has none or other ones."""
    schema = views_schema(control_schema, number)
    found = (await connection.execute(text(_FOUND), {"schema": schema})).one()
    if (found.fingerprint, found.views) == (FINGERPRINT, len(VIEWS)):
        return
    await connection.execute(DropSchema(schema, cascade=True, if_exists=True))
    await connection.execute(CreateSchema(schema))
    await connection.exec_driver_sql(f'SET LOCAL search_path = "{generation_schema(control_schema, number)}"')
    for view in VIEWS:
        await connection.exec_driver_sql(f'CREATE VIEW "{schema}".{view.name} AS {view.query}')
    await connection.exec_driver_sql("SET LOCAL search_path = DEFAULT")
    await connection.exec_driver_sql(f"COMMENT ON SCHEMA \"{schema}\" IS '{FINGERPRINT}'")
