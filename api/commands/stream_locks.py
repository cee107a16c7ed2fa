"""Locks that serialize the commands on a stream, within this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Unavailable

MAX_WAITING_PER_STREAM = 1000
LOCK_WAIT_S = 15.0
"""The time that a command waits for its stream's lock."""


class StreamLocks:
    """A fair lock for every stream in use; unused locks are dropped."""

    def __init__(self, max_waiting: int = MAX_WAITING_PER_STREAM) -> None:
        self._locks: dict[str, _Shared] = {}
        self._max_waiting = max_waiting

    @asynccontextmanager
    async def hold(self, stream: str, timeout_s: float) -> AsyncIterator[None]:
        """Hold the stream's lock. Raise `Unavailable` if too many wait, or on a timeout."""
        shared = self._locks.setdefault(stream, _Shared())
        if shared.users > self._max_waiting:
            raise Unavailable("too many commands are waiting for this task or list")
        shared.users += 1
        try:
            if shared.users == 1:  # Usually: then nobody has to be waited for.
                await shared.lock.acquire()
            else:
                await _acquire(shared.lock, timeout_s)
            try:
                yield
            finally:
                shared.lock.release()
        finally:
            shared.users -= 1
            if shared.users == 0:
                del self._locks[stream]


class _Shared:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


async def _acquire(lock: asyncio.Lock, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await lock.acquire()
    except TimeoutError:
        raise Unavailable("other commands on this task or list are taking too long") from None
