"""Opening: a pool of connections that resolves plain table names to the live generation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import asyncpg

from app.errors import Unavailable
from projections.generations.completeness import describe_missing, lacking_tables
from projections.postgres.database import (
    CONNECT_TIMEOUT_S,
    DATABASE_UNAVAILABLE,
    Connection,
    Database,
    PooledConnection,
    asyncpg_dsn,
    generation_schema,
)

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
    on_connect: Callable[[Connection], Coroutine[Any, Any, None]] | None = None,
) -> Database:
    """Open a pool on the live generation, or on the given one.

    `on_connect` checks each new connection before its first use; its errors are raised to the caller that
    needs the connection. Raise `Unavailable` if the database cannot be reached or is not migrated yet.
    """
    dsn = asyncpg_dsn(url)
    if generation is None:
        generation = await live_generation(dsn, control_schema)
    schema = generation_schema(control_schema, generation)
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=pool_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={
                "application_name": "tasktape",
                "jit": "off",
                **(server_settings or {}),
                "search_path": schema,
            },
            connection_class=PooledConnection,
            init=on_connect,
        )
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    return Database(pool, schema, control_schema)


async def live_generation(dsn: str, control_schema: str) -> int:
    """Return the number of the live generation. Raise `Unavailable`, or `NotSetUp` if it lacks tables."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    except asyncpg.InvalidCatalogNameError as error:
        raise NotSetUp(f"{error}; run `tasktape migrate`") from error
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    try:
        number = await connection.fetchval(
            f'SELECT number FROM "{control_schema}".generations WHERE status = $1',  # noqa: S608
            "live",
        )
        lacking = await lacking_tables(
            connection, control_schema, generation_schema(control_schema, number or 0)
        )
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        number = None
    finally:
        await connection.close()
    if number is None:
        raise NotSetUp("the database has no read models yet; run `tasktape migrate`")
    if lacking:
        raise NotSetUp(f"{describe_missing(lacking)}; run `tasktape migrate`")
    return int(number)
