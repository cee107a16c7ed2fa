"""Consistent reads: several queries on one snapshot, and the snapshot's positions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from projections.postgres.connections import Connection, Source

ACQUIRE_TIMEOUT_S = 10.0
POSITIONS_COLUMN = """ARRAY(
    SELECT ARRAY[partition::bigint, next_offset - 1] FROM checkpoints WHERE next_offset > 0
) AS positions"""
"""A column for queries that return one row. One statement is one snapshot: it needs no transaction."""
_POSITIONS = "SELECT partition, next_offset - 1 AS last FROM checkpoints WHERE next_offset > 0"


@asynccontextmanager
async def snapshot(pool: asyncpg.Pool[asyncpg.Record], settings: str = "") -> AsyncIterator[Connection]:
    """Provide a connection whose queries all see the same snapshot.

    `settings` are `SET LOCAL` statements, which are sent together with the start of the transaction.
    """
    async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
        await connection.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {settings}")
        try:
            yield connection
        finally:
            await connection.execute("ROLLBACK")


async def positions_at(source: Source) -> dict[int, int]:
    """Return the positions that the read models have reached, as this connection sees them."""
    rows = await source.fetch(_POSITIONS)
    return {row["partition"]: row["last"] for row in rows}


def positions_in(row: asyncpg.Record) -> dict[int, int]:
    """Return the positions in a row that has `POSITIONS_COLUMN`."""
    return dict(row["positions"])
