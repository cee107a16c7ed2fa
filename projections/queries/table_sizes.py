"""The sizes of the tables on the disk."""

from __future__ import annotations

from collections.abc import Collection

from projections.postgres.database import Database
from projections.read_models.registry import BY_NAME

_BYTES = """
    SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = $1 AND relname = ANY($2) AND relkind = 'r'
"""


async def live_bytes(database: Database, names: Collection[str] = tuple(BY_NAME)) -> int:
    """Return the bytes of the live read models, or of these, with their indexes."""
    tables = [table.name for name in names for table in BY_NAME[name].TABLES]
    return int(await database.pool.fetchval(_BYTES, database.live.schema, tables))
