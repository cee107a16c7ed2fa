"""The types of connections and pools that queries run on."""

from __future__ import annotations

from typing import TypeAlias

import asyncpg

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Source: TypeAlias = "Connection | asyncpg.Pool[asyncpg.Record]"
"""The source of queries: one connection, or a pool that takes one for each query."""
