"""Statements of auditors: each in a session of its own, as a role that can only read the views."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from app.errors import Invalid, Unavailable
from projections.audit_sql.encoding import encoded
from projections.audit_sql.limits import (
    AT_ONCE,
    DEADLINE_S,
    FETCHED_BYTES,
    MAX_COLUMNS,
    MAX_RESULT_BYTES,
    MAX_ROW_BYTES,
    MOST_FETCHED,
    SETTINGS,
    STATEMENT_S,
    USUAL_ROWS,
)
from projections.audit_sql.refusals import refusal_of, refused, too_large, too_long
from projections.audit_sql.results import Format, ResultColumn, wrapped
from projections.audit_sql.statements import check_statement, without_end
from projections.postgres.connections import Connection
from projections.postgres.database import CONNECT_TIMEOUT_S, asyncpg_dsn
from projections.postgres.live_generation import LiveGeneration, views_schema

SESSION = {
    **SETTINGS,
    "application_name": "tasktape audit sql",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
}
CLOSE_S = 5.0
"""Seconds in which PostgreSQL is asked to stop; after that, it notices the closed connection by itself."""
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_RIGHTS = "SELECT has_schema_privilege($1, 'USAGE') AS too_many, to_regnamespace($2) IS NULL AS too_few"
_TOO_MANY_RIGHTS = (
    "SQL is not available: the role of TASKTAPE_SQL_DATABASE_URL may read more than the views; "
    "name one of its own, which `tasktape migrate` creates"
)
_NO_VIEWS = (
    "SQL is not available: the views do not exist; run `tasktape migrate` with TASKTAPE_SQL_DATABASE_URL"
)


@dataclass(frozen=True, slots=True)
class Result:
    """An encoded result; `truncated` if the statement has further rows."""

    body: bytes
    truncated: bool


class AuditSql:
    """The statements of one API process. Those that read the live generation never see another one's rows."""

    def __init__(
        self, url: str | None, live: LiveGeneration, control_schema: str, *, statement_s: float = STATEMENT_S
    ) -> None:
        self._dsn = None if url is None else asyncpg_dsn(url)
        self._live = live
        self._control_schema = control_schema
        self._settings = {**SESSION, "statement_timeout": f"{statement_s * 1000:.0f}ms"}
        self._running = 0

    @property
    def is_busy(self) -> bool:
        """Return True if as many statements run as may."""
        return self._running >= AT_ONCE

    async def run(self, sql: str, form: Format = "json", limit: int = USUAL_ROWS) -> Result:
        """Return the first rows of a statement. Raise `Invalid` or `Unavailable`."""
        check_statement(sql)
        sql = without_end(sql)
        self._running += 1
        try:
            async with asyncio.timeout(DEADLINE_S), self._session() as connection:
                columns = await _columns(connection, sql)
                rows, truncated = await _rows(connection, wrapped(sql, columns, form), limit)
            # It takes the processor for a moment.
            body = await asyncio.to_thread(encoded, form, columns, rows, truncated=truncated)
        except (Invalid, Unavailable):
            raise
        except TimeoutError:
            raise too_long() from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise refusal_of(error, sql) from error
        finally:
            self._running -= 1
        return Result(body, truncated)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        """Provide a connection, and stop what it does at the end. Raise `Unavailable`."""
        if self._dsn is None:
            raise Unavailable("SQL is not available: this deployment has no TASKTAPE_SQL_DATABASE_URL")
        schema = f'"{views_schema(self._control_schema, self._live.number)}"'
        connection = await self._connect({**self._settings, "search_path": schema})
        try:
            rights = await connection.fetchrow(_RIGHTS, self._control_schema, schema)
            assert rights is not None
            if rights["too_many"] or connection.get_settings().is_superuser == "on":
                raise Unavailable(_TOO_MANY_RIGHTS)
            if rights["too_few"]:
                raise Unavailable(_NO_VIEWS)
            await connection.execute(_BEGIN)
            yield connection
        finally:
            await asyncio.shield(_end(connection))

    async def _connect(self, settings: Mapping[str, str]) -> Connection:
        try:
            connection = await asyncpg.connect(
                self._dsn, timeout=CONNECT_TIMEOUT_S, statement_cache_size=0, server_settings=dict(settings)
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Unavailable("the database does not admit statements now") from error
        # To look types up, asyncpg would call `set_config`, which the role may not.
        connection._server_caps = connection._server_caps._replace(jit=False)  # type: ignore[attr-defined]  # noqa: SLF001
        return connection


async def _columns(connection: Connection, sql: str) -> list[ResultColumn]:
    """Return the columns of a statement, which PostgreSQL checks. Raise `Invalid`."""
    statement = await connection.prepare(sql)
    columns = [ResultColumn(each.name, each.type.name) for each in statement.get_attributes()]
    if not columns:
        raise refused("returns no columns")
    if len(columns) > MAX_COLUMNS:
        raise refused(f"returns {len(columns)} columns; a result may have {MAX_COLUMNS}")
    return columns


async def _rows(connection: Connection, sql: str, limit: int) -> tuple[list[tuple[object, ...]], bool]:
    """Return the first rows, without their sizes, and whether there are more. Raise `Invalid`."""
    rows: list[tuple[object, ...]] = []
    total = largest = 0
    cursor = await connection.cursor(sql)
    wanted = 4
    while found := await cursor.fetch(min(wanted, limit + 1 - len(rows))):
        for row in found:
            size, *values = row
            if size > MAX_ROW_BYTES:
                raise too_large(len(rows) + 1, size, MAX_ROW_BYTES)
            total, largest = total + size, max(size, largest)
            if len(rows) == limit or total > MAX_RESULT_BYTES:
                return rows, True
            rows.append(tuple(values))
        wanted = max(1, min(MOST_FETCHED, wanted * 8, FETCHED_BYTES // (largest + 1)))
    return rows, False


async def _end(connection: Connection) -> None:
    """Ask PostgreSQL to stop, and close the connection."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        await connection.close(timeout=CLOSE_S)
    connection.terminate()
