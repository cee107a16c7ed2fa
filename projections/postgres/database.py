"""The connection to Postgres: a pool that resolves plain table names to the live generation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from sqlalchemy import URL, make_url

from app.errors import Unavailable
from projections.postgres.completeness import describe_missing, missing_tables

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0

GONE: tuple[type[Exception], ...] = (
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,
)
"""The errors of asyncpg if the database or its tables were dropped. A starting worker creates them again."""

DATABASE_UNAVAILABLE: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    # A connection whose server was killed during an answer.
    asyncpg.InternalClientError,
    *GONE,
)
"""The errors of asyncpg while the database is unavailable, stopping or starting: wait and retry."""


class NotSetUp(Unavailable):
    """Error if the database, or its tables, do not exist yet."""


async def ensure_database(url: str) -> None:
    """Create the database that the URL names, if the server lacks it. Raise `Unavailable`."""
    name = make_url(asyncpg_dsn(url)).database
    try:
        connection = await asyncpg.connect(asyncpg_dsn(url), timeout=CONNECT_TIMEOUT_S)
    except asyncpg.InvalidCatalogNameError:
        try:
            connection = await asyncpg.connect(_maintenance_dsn(url), timeout=CONNECT_TIMEOUT_S)
            with suppress(
                asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError
            ):  # another process was faster
                quoted = str(name).replace('"', '""')
                await connection.execute(f'CREATE DATABASE "{quoted}"')
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Unavailable(f"there is no database {name}, and it can't be created: {error}") from error
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database can't be reached: {error}") from error
    await connection.close()


@dataclass(frozen=True, slots=True)
class Database:
    """A pool whose `search_path` is `schema`, the live generation of the read models."""

    pool: asyncpg.Pool[asyncpg.Record]
    schema: str
    control_schema: str

    async def missing_tables(self) -> Sequence[str]:
        """Return the tables that are missing."""
        return await missing_tables(self.pool, self.control_schema, self.schema)

    async def close(self) -> None:
        """Close the pool at once; Postgres rolls back what is in flight."""
        self.pool.terminate()


if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection  # takes parameters only in its stubs


Connection: TypeAlias = _Base


class _Connection(_Base):
    """A connection that is returned to the pool without a reset, which saves a round trip for each use.

    We leave no state behind: settings are local to transactions, as are locks and cursors.
    """

    def get_reset_query(self) -> str:
        """Return an empty query, because there is nothing to reset."""
        return ""


def generation_schema(control_schema: str, number: int) -> str:
    """Return the name of one generation's schema."""
    return f"{control_schema}_g{number}"


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
            connection_class=_Connection,
            init=on_connect,
        )
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database can't be reached: {error}") from error
    return Database(pool, schema, control_schema)


async def live_generation(dsn: str, control_schema: str) -> int:
    """Return the number of the live generation. Raise `Unavailable`, or `NotSetUp` if it lacks tables."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    except asyncpg.InvalidCatalogNameError as error:
        raise NotSetUp(f"{error}; run `tasktape migrate`") from error
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database can't be reached: {error}") from error
    try:
        number = await connection.fetchval(
            f'SELECT number FROM "{control_schema}".generations WHERE status = $1',  # noqa: S608
            "live",
        )
        lacking = await missing_tables(
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


def asyncpg_dsn(url: str) -> str:
    """Return the URL in asyncpg's form."""
    return _parsed(url, "postgresql")


def _maintenance_dsn(url: str) -> str:
    """Return the URL of the server's maintenance database, from which others are created."""
    parsed = make_url(asyncpg_dsn(url)).set(database="postgres")
    return parsed.render_as_string(hide_password=False)


def sqlalchemy_url(url: str) -> str:
    """Return the URL in the form of SQLAlchemy's asyncpg dialect."""
    return _parsed(url, "postgresql+asyncpg")


def _parsed(url: str, driver: str) -> str:
    parsed: URL = make_url(url.replace("postgres://", "postgresql://", 1))
    return parsed.set(drivername=driver).render_as_string(hide_password=False)
