"""Completeness: the missing tables of read models."""

from __future__ import annotations

from collections.abc import Sequence

from projections.postgres.connections import Source
from projections.postgres.database import Database
from projections.postgres.tables import control
from projections.read_models.registry import GENERATION_TABLES

NAMED = 3
_MISSING = """
    SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place) WHERE NOT EXISTS (
        SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relname = name AND relkind = 'r' AND nspname = $2
    ) ORDER BY place
"""


async def missing_tables(database: Database) -> Sequence[str]:
    """Return the missing tables of a database's generation, and of its control tables."""
    return await lacking_tables(database.pool, database.control_schema, database.live.schema)


async def lacking_tables(source: Source, control_schema: str, schema: str) -> Sequence[str]:
    """Return the missing tables of a generation with this schema, and of its control tables."""
    return [
        f"{place}.{row['name']}"
        for place, tables in ((control_schema, control.tables.values()), (schema, GENERATION_TABLES))
        for row in await source.fetch(_MISSING, [table.name for table in tables], place)
    ]


def describe_missing(missing: Sequence[str]) -> str:
    """Return the missing tables as a part of a sentence."""
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return f"the read models lack {', '.join(missing[:NAMED])}{more}"
