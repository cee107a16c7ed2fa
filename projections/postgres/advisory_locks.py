"""Shared and exclusive locks between processes, as PostgreSQL's advisory locks.

A lock is the session's, so it ends with its connection at the latest: a process that dies holds nothing. The
server ends a session that holds locks and is silent for `LEASE_S`: a process that is suspended, or cut off,
holds nothing for longer. All locks of one holder are taken by one statement, in one order, so holders cannot
wait for each other in a ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import asyncpg
import structlog

from app.errors import Unavailable
from projections.postgres.database import AWAY, CONNECT_TIMEOUT_S, asyncpg_dsn

LEASE_S = 10.0
RENEWALS = 3
"""So many times a lease is renewed before it would end: some may be late."""
log = structlog.get_logger()
_LOST: tuple[type[BaseException], ...] = (*AWAY, asyncpg.PostgresError)
_LOCK = """
    SELECT CASE WHEN wanted.exclusive THEN pg_advisory_lock(wanted.key)
        ELSE pg_advisory_lock_shared(wanted.key) END,
        set_config('idle_session_timeout', $3, false)
    FROM unnest($1::bigint[], $2::boolean[]) AS wanted(key, exclusive)
"""
_UNLOCK = "SELECT pg_advisory_unlock_all(), set_config('idle_session_timeout', '0', false)"
_RENEW = "SELECT"
GIVE_BACK_TIMEOUT_S = 5.0

LockModes = Mapping[str, bool]
"""What is locked, by name → if exclusively."""


@dataclass(eq=False, slots=True)
class HeldLocks:
    """Locks that are held, on a connection of their own."""

    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    pool: asyncpg.Pool[asyncpg.Record]
    renew_s: float
    in_use: asyncio.Lock = field(default_factory=asyncio.Lock)
    timer: asyncio.TimerHandle | None = None
    renewing: asyncio.Task[None] | None = None
    is_released: bool = False

    def renew_later(self) -> None:
        """Renew the lease now and then, until they are released."""
        self.timer = asyncio.get_running_loop().call_later(self.renew_s, self._start)

    async def release(self) -> None:
        """Release them all. A connection that is broken is closed, which releases them too."""
        try:
            async with self.in_use:
                self.is_released = True
                if self.timer is not None:
                    self.timer.cancel()
                await self.connection.execute(_UNLOCK, timeout=GIVE_BACK_TIMEOUT_S)
        except BaseException as error:
            with suppress(asyncpg.InterfaceError):  # One that is closed already is the pool's again.
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
                # They are lost; what comes of that is repaired (`streams.policies.structure`).
                log.warning("locks were lost", reason=str(error) or repr(error))
            else:
                self.renew_later()


class AdvisoryLocks:
    """Locks by name, shared by all processes that name the same `namespace` in one database."""

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], namespace: str, *, lease_s: float = LEASE_S
    ) -> None:
        self._pool = pool
        self._namespace = namespace
        self._lease_s = lease_s

    async def acquire(self, modes: LockModes, timeout_s: float) -> HeldLocks:
        """Acquire all of these locks. Raises `Unavailable` if that takes longer, or the database is away."""
        keys = sorted((_key(self._namespace, name), exclusive) for name, exclusive in modes.items())
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    return await self._acquire(keys)
                except AWAY:
                    # A connection that broke while nobody used it is found out when it is used: take another.
                    await self._pool.expire_connections()
                    return await self._acquire(keys)
        except TimeoutError:
            raise Unavailable(
                "other commands on this task or list are taking too long; nothing was changed, try again"
            ) from None
        except AWAY as error:
            raise Unavailable(f"the database can't be reached: {error}") from error

    async def _acquire(self, keys: Sequence[tuple[int, bool]]) -> HeldLocks:
        connection = await self._pool.acquire()
        held = HeldLocks(connection, self._pool, self._lease_s / RENEWALS)
        lease_ms = f"{self._lease_s * 1000:.0f}"
        try:
            await connection.fetch(_LOCK, [key for key, _ in keys], [mode for _, mode in keys], lease_ms)
        except BaseException:
            # Those that were taken before the wait was cut off are held until they are released.
            await asyncio.shield(held.release())
            raise
        held.renew_later()
        return held

    def close(self) -> None:
        """Close all connections at once, and with them all locks."""
        self._pool.terminate()


async def open_advisory_locks(
    url: str, namespace: str, *, holders: int, lease_s: float = LEASE_S
) -> AdvisoryLocks:
    """Open connections for as many holders at the same time. Raises `Unavailable`."""
    try:
        pool = await asyncpg.create_pool(
            asyncpg_dsn(url),
            min_size=1,
            max_size=holders,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": "tasktape locks"},
            reset=_nothing_to_reset,
        )
    except AWAY as error:
        raise Unavailable(f"the database can't be reached: {error}") from error
    return AdvisoryLocks(pool, namespace, lease_s=lease_s)


async def _nothing_to_reset(_connection: Any) -> None:
    """Save a round trip: a connection comes back without its locks."""


def _key(namespace: str, name: str) -> int:
    digest = blake2b(f"{namespace}\x1f{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
