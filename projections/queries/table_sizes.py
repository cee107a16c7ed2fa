"""The sizes of the tables on the disk."""

from __future__ import annotations

from projections.postgres.database import Database

_BYTES = """
    SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = ANY($1) AND relkind = 'r'
"""


async def live_bytes(database: Database) -> int:
    """Return the bytes of the live read models, with their indexes."""
    return int(await database.pool.fetchval(_BYTES, database.live.schemas))
