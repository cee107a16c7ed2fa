"""The lock of a rebuild: one at a time for each deployment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from app.errors import Conflict, Unavailable
from projections.postgres.database import CONNECT_TIMEOUT_S, DATABASE_UNAVAILABLE, asyncpg_dsn

APPLICATION = "tasktape rebuild"
_TRY = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_WAIT = "SELECT pg_advisory_lock(hashtextextended($1, 0))"


@asynccontextmanager
async def rebuild_lock(url: str, control_schema: str, *, wait: bool) -> AsyncIterator[None]:
    """Hold the lock; it belongs to a session, so a rebuild that is killed releases it.

    Raise `Conflict` if another rebuild holds it, unless `wait`, and `Unavailable`.
    """
    try:
        connection = await asyncpg.connect(
            asyncpg_dsn(url), timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": APPLICATION}
        )
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    try:
        held = await connection.fetchval(_WAIT if wait else _TRY, f"{control_schema} rebuild")
        if held is False:
            raise Conflict("the read models are being rebuilt already; wait for it, or stop it with Ctrl-C")
        yield
    finally:
        connection.terminate()
