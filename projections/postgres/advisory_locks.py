"""Shared and exclusive locks between processes, as PostgreSQL's advisory locks.

A lock belongs to a session, so it ends with its connection at the latest: a process that dies holds no lock.
The server ends a session that holds locks and is silent for `LEASE_S`, so a process that is suspended or
disconnected holds none for longer. All locks of one holder are acquired by one statement, in one order, so
holders cannot deadlock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import asyncpg
import structlog

from app.errors import Unavailable
from app.structure.locks import LockModes
from projections.postgres.database import CONNECT_TIMEOUT_S, DATABASE_UNAVAILABLE, asyncpg_dsn

LEASE_S = 10.0
RENEWALS = 3
"""The number of renewals within a lease, because some may be late."""
log = structlog.get_logger()
_LOST: tuple[type[BaseException], ...] = (*DATABASE_UNAVAILABLE, asyncpg.PostgresError)
_LOCK = """
    SELECT CASE WHEN wanted.exclusive THEN pg_advisory_lock(wanted.key)
        ELSE pg_advisory_lock_shared(wanted.key) END,
        set_config('idle_session_timeout', $3, false)
    FROM unnest($1::bigint[], $2::boolean[]) AS wanted(key, exclusive)
"""
_UNLOCK = "SELECT pg_advisory_unlock_all(), set_config('idle_session_timeout', '0', false)"
_RENEW = "SELECT"
GIVE_BACK_TIMEOUT_S = 5.0


@dataclass(eq=False, slots=True)
class HeldLocks:
    """Acquired locks, on a connection of their own."""

    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    pool: asyncpg.Pool[asyncpg.Record]
    renew_s: float
    in_use: asyncio.Lock = field(default_factory=asyncio.Lock)
    timer: asyncio.TimerHandle | None = None
    renewing: asyncio.Task[None] | None = None
    is_released: bool = False

    def renew_later(self) -> None:
        """Start renewing the lease periodically until the locks are released."""
        self.timer = asyncio.get_running_loop().call_later(self.renew_s, self._start)

    async def release(self) -> None:
        """Release all locks. A broken connection is closed, which releases them too."""
        try:
            async with self.in_use:
                self.is_released = True
                if self.timer is not None:
                    self.timer.cancel()
                await self.connection.execute(_UNLOCK, timeout=GIVE_BACK_TIMEOUT_S)
        except BaseException as error:
            with suppress(asyncpg.InterfaceError):  # The pool already has a closed connection back.
                self.connection.terminate()
            if not isinstance(error, Exception):
                raise
        finally:
            await self.pool.release(self.connection)

    def _start(self) -> None:
        self.renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        async with self.in_use:
            if self.is_released:
                return
            try:
                await self.connection.execute(_RENEW, timeout=GIVE_BACK_TIMEOUT_S)
            except _LOST as error:
                # They are lost. `streams.policies.structure` repairs the consequences.
                log.warning("locks were lost", reason=str(error) or repr(error))
            else:
                self.renew_later()


class AdvisoryLocks:
    """Locks by name, shared by all processes that use the same `namespace` in one database."""

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], namespace: str, *, lease_s: float = LEASE_S
    ) -> None:
        self._pool = pool
        self._namespace = namespace
        self._lease_s = lease_s

    async def acquire(self, modes: LockModes, timeout_s: float) -> HeldLocks:
        """Acquire all of these locks. Raise `Unavailable` on timeout, or if the database is unavailable."""
        keys = sorted((_key(self._namespace, name), exclusive) for name, exclusive in modes.items())
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    return await self._acquire(keys)
                except DATABASE_UNAVAILABLE:
                    # A connection that broke while idle is only detected when it is used: take another.
                    await self._pool.expire_connections()
                    return await self._acquire(keys)
        except TimeoutError:
            raise Unavailable(
                "other commands on this task or list are taking too long; nothing was changed, try again"
            ) from None
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable(f"the database cannot be reached: {error}") from error

    async def _acquire(self, keys: Sequence[tuple[int, bool]]) -> HeldLocks:
        connection = await self._pool.acquire()
        held = HeldLocks(connection, self._pool, self._lease_s / RENEWALS)
        lease_ms = f"{self._lease_s * 1000:.0f}"
        try:
            await connection.fetch(_LOCK, [key for key, _ in keys], [mode for _, mode in keys], lease_ms)
        except BaseException:
            # Locks acquired before the timeout are held until they are released.
            await asyncio.shield(held.release())
            raise
        held.renew_later()
        return held

    def close(self) -> None:
        """Close all connections at once, which releases all locks."""
        self._pool.terminate()


async def open_advisory_locks(
    url: str, namespace: str, *, holders: int, lease_s: float = LEASE_S
) -> AdvisoryLocks:
    """Open connections for so many concurrent holders. Raise `Unavailable`."""
    try:
        pool = await asyncpg.create_pool(
            asyncpg_dsn(url),
            min_size=1,
            max_size=holders,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": "tasktape locks"},
            reset=_nothing_to_reset,
        )
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    return AdvisoryLocks(pool, namespace, lease_s=lease_s)


async def _nothing_to_reset(_connection: Any) -> None:
    """Skip the reset query, which saves a round trip: a connection is returned without locks."""


def _key(namespace: str, name: str) -> int:
    digest = blake2b(f"{namespace}\x1f{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
