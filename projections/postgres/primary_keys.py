"""Reading rows by their primary key."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from projections.postgres.connections import Source
from projections.postgres.sql_parameters import array


async def fetch_by_id(source: Source, select: str, ids: Sequence[str]) -> Sequence[asyncpg.Record]:
    """Return the rows of these ids; `select` is a query without its condition."""
    return await source.fetch(f"{select} WHERE id = ANY({array('$1', 'text')})", ids)
