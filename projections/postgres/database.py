"""The connection to Postgres: its errors, its URL, and a pool on one generation of the read models."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from sqlalchemy import URL, make_url

from app.errors import Unavailable
from projections.postgres.live_generation import LiveGeneration

CONNECT_TIMEOUT_S = 10.0

PostgresError: TypeAlias = asyncpg.PostgresError
"""The error of asyncpg for every refusal by the server."""

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
            raise Unavailable(f"there is no database {name}, and it cannot be created: {error}") from error
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    await connection.close()


@dataclass(frozen=True, slots=True)
class Database:
    """A pool whose connections resolve plain table names to the `live` generation of the read models."""

    pool: asyncpg.Pool[asyncpg.Record]
    live: LiveGeneration
    control_schema: str

    async def follow(self) -> None:
        """Look which generation is live; connections switch to it before their next use."""
        await self.live.look(self.pool)

    async def close(self) -> None:
        """Close the pool at once; Postgres rolls back what is in flight."""
        self.pool.terminate()


if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection  # takes parameters only in its stubs


Connection: TypeAlias = _Base


class PooledConnection(_Base):
    """A connection that is returned to the pool without a reset, which saves a round trip for each use.

    We leave no state behind but the `search_path`, that of `generation`: other settings are local to
    transactions, as are locks and cursors.
    """

    live: LiveGeneration
    generation: int | None = None

    async def follow(self) -> None:
        """Switch to the live generation, before each use."""
        if self.generation != self.live.number:
            # They may change while the statement runs.
            number, schema = self.live.number, self.live.schema
            await self.execute(f'SET search_path = "{schema}"')
            self.generation = number

    def get_reset_query(self) -> str:
        """Return an empty query, because there is nothing to reset."""
        return ""


def generation_of(connection: Any) -> int:
    """Return the number of the generation that a pool's connection is switched to."""
    number: int = connection.generation
    return number


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
