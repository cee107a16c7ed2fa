"""The lock of changes to the control tables and to the schemas of generations."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

MIGRATION_LOCK = 7_461_736_274


async def hold_migration_lock(connection: AsyncConnection) -> None:
    """Hold the lock until the end of the transaction."""
    await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
