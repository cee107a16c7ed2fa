"""Reading rows by their primary key."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from projections.postgres.connections import Source


async def fetch_by_id(source: Source, select: str, ids: Sequence[str]) -> Sequence[asyncpg.Record]:
    """Return the rows of these ids; `select` is a query without its condition.

    One id is compared as such: PostgreSQL plans a query on a short array anew each time, which takes longer
    than the query.
    """
    if len(ids) == 1:
        return await source.fetch(f"{select} WHERE id = $1", ids[0])
    return await source.fetch(f"{select} WHERE id = ANY($1)", ids)
