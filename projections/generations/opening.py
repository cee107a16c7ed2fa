"""Opening: a pool of connections that resolves plain table names to the live generation, and follows it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import asyncpg

from app.errors import Unavailable
from projections.generations.completeness import describe_missing, lacking_tables
from projections.generations.fingerprints import version_of_all
from projections.postgres.database import (
    CONNECT_TIMEOUT_S,
    DATABASE_UNAVAILABLE,
    Database,
    PooledConnection,
    asyncpg_dsn,
)
from projections.postgres.live_generation import LiveGeneration

COMMAND_TIMEOUT_S = 60.0


class NotSetUp(Unavailable):
    """Error if the database, or its tables, do not exist yet."""


async def open_database(
    url: str,
    control_schema: str,
    *,
    generation: int | None = None,
    pool_size: int = 10,
    server_settings: Mapping[str, str] | None = None,
    on_connect: Callable[[PooledConnection], Coroutine[Any, Any, None]] | None = None,
) -> Database:
    """Open a pool that follows the live generation, or one on the given generation.

    `on_connect` checks each new connection before its first use; its errors are raised to the caller that
    needs the connection. Raise `Unavailable` if the database cannot be reached or is not migrated yet.
    """
    dsn = asyncpg_dsn(url)
    if generation is None:
        live = await live_generation(dsn, control_schema)
    else:
        live = LiveGeneration(control_schema, version_of_all(), generation, follows=False)

    async def begin(connection: Any) -> None:
        connection.live = live
        if on_connect is not None:
            await on_connect(connection)

    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=pool_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={"application_name": "tasktape", "jit": "off", **(server_settings or {})},
            connection_class=PooledConnection,
            init=begin,
            setup=_follow,
        )
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    return Database(pool, live, control_schema)


async def _follow(connection: Any) -> None:
    await connection.follow()


async def live_generation(dsn: str, control_schema: str) -> LiveGeneration:
    """Return the live generation. Raise `Unavailable`, or `NotSetUp` if it lacks tables."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    except asyncpg.InvalidCatalogNameError as error:
        raise NotSetUp(f"{error}; run `tasktape migrate`") from error
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    try:
        row = await connection.fetchrow(
            f'SELECT number, version FROM "{control_schema}".generations '  # noqa: S608
            "WHERE status = 'live' ORDER BY number DESC LIMIT 1"
        )
        if row is None:
            raise NotSetUp("the database has no read models yet; run `tasktape migrate`")
        live = LiveGeneration(control_schema, row["version"], row["number"])
        lacking = await lacking_tables(connection, control_schema, live.schema)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        raise NotSetUp("the database has no read models yet; run `tasktape migrate`") from None
    finally:
        await connection.close()
    if lacking:
        raise NotSetUp(f"{describe_missing(lacking)}; run `tasktape migrate`")
    return live
