"""Locks on lists and tasks for commands whose rules span streams: in this process, and between nodes.

A command that relies on the structure shares a lock; one that changes the structure holds it exclusively
(`api.commands.lock_plan`). Locks are held until the outcome is visible in the read models, even if the
response was sent before, within bounds: a lock that is released early is like a lost one, and the worker
repairs the consequences (`streams.policies.structure`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from app.errors import Unavailable
from app.positions import Position
from app.structure.locks import ClusterHold, ClusterLocks, LockModes

LOCK_TIMEOUT_S = 15.0
OUTCOME_TIMEOUT_S = 30.0
"""The maximum time to hold locks for a late outcome."""
MAX_LATE_HOLDS = 8
"""The most commands that hold their locks after their response; beyond it, the oldest releases them."""
MAX_WAITING_PER_LOCK = 1_000
JOIN_S = 0.05
"""The time in which others of this process may join a lock that is already shared."""

WaitReached = Callable[[Mapping[int, int], float], Awaitable[bool]]


class Hold:
    """The locks of one command. `until` adds outcomes that must be visible before they are released."""

    __slots__ = ("positions",)

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}

    def until(self, position: Position) -> None:
        """Hold the locks until the read models have this position."""
        partition, offset = position
        self.positions[partition] = max(offset, self.positions.get(partition, -1))


class StructureLocks:
    """Locks by name. Without `cluster` they hold among the commands of this process only."""

    def __init__(self, wait_reached: WaitReached, cluster: ClusterLocks | None = None) -> None:
        self._wait_reached = wait_reached
        self._leases = None if cluster is None else Leases(cluster, time.monotonic)
        self._local = SharedLocks()
        self._late: dict[asyncio.Task[None], asyncio.Event] = {}

    @asynccontextmanager
    async def hold(self, modes: LockModes) -> AsyncIterator[Hold]:
        """Hold all of these locks. Raise `Unavailable` on a timeout; nothing was done then."""
        await self._local.acquire(modes, LOCK_TIMEOUT_S)
        held: ClusterHold | None = None
        hold = Hold()
        try:
            if self._leases is not None:
                held = await self._leases.acquire(modes, LOCK_TIMEOUT_S)
            yield hold
        finally:
            self._release_later(modes, held, hold.positions)

    async def close(self) -> None:
        """Release the locks that are still held for late outcomes."""
        for task, give_up in list(self._late.items()):
            give_up.set()
            await asyncio.wait({task})

    def _release_later(
        self, modes: LockModes, held: ClusterHold | None, positions: Mapping[int, int]
    ) -> None:
        """Release without delaying the response."""
        if held is None and not positions:
            self._local.release(modes)
            return
        give_up = asyncio.Event()
        if (
            positions
            and len(waiting := [one for one in self._late.values() if not one.is_set()]) >= MAX_LATE_HOLDS
        ):
            waiting[0].set()
        if not positions:
            give_up.set()
        task = asyncio.create_task(self._release(modes, held, positions, give_up))
        self._late[task] = give_up
        task.add_done_callback(lambda done: self._late.pop(done, None))

    async def _release(
        self, modes: LockModes, held: ClusterHold | None, positions: Mapping[int, int], give_up: asyncio.Event
    ) -> None:
        try:
            if positions and not give_up.is_set():
                await self._until_visible(positions, give_up)
            if held is not None:
                await held.release()
        finally:
            self._local.release(modes)

    async def _until_visible(self, positions: Mapping[int, int], give_up: asyncio.Event) -> None:
        visible = asyncio.ensure_future(self._wait_reached(positions, OUTCOME_TIMEOUT_S))
        given_up = asyncio.create_task(give_up.wait())
        await asyncio.wait({visible, given_up}, return_when=asyncio.FIRST_COMPLETED)
        for task in (visible, given_up):
            task.cancel()


# --- between processes -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Lease:
    """Locks of the cluster, shared by holders of this process; nobody can join after `until_s`."""

    leases: dict[frozenset[str], _Lease]
    names: frozenset[str]
    held: ClusterHold
    until_s: float
    holders: int = 1

    async def release(self) -> None:
        self.holders -= 1
        if self.holders:
            return
        if self.leases.get(self.names) is self:
            del self.leases[self.names]
        await self.held.release()


class Leases:
    """Locks of the cluster. Holders that share the same locks at the same time acquire them once.

    Nobody joins a lease older than `JOIN_S`, so that a waiting holder of another process gets its turn.
    """

    def __init__(self, cluster: ClusterLocks, monotonic_s: Callable[[], float]) -> None:
        self._cluster = cluster
        self._monotonic_s = monotonic_s
        self._leases: dict[frozenset[str], _Lease] = {}

    async def acquire(self, modes: LockModes, timeout_s: float) -> ClusterHold:
        """Acquire all of these locks. Raise `Unavailable`."""
        if any(modes.values()):
            return await self._cluster.acquire(modes, timeout_s)
        names = frozenset(modes)
        lease = self._leases.get(names)
        if lease is not None and self._monotonic_s() < lease.until_s:
            lease.holders += 1
            return lease
        held = await self._cluster.acquire(modes, timeout_s)
        lease = self._leases[names] = _Lease(self._leases, names, held, self._monotonic_s() + JOIN_S)
        return lease


# --- within a process --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Entry:
    """A lock in use: its number of holders (-1 means exclusive), and its waiters in order."""

    holders: int = 0
    waiting: deque[tuple[bool, asyncio.Future[None]]] = field(default_factory=deque)


class SharedLocks:
    """Fair locks by name, shared or exclusive; unused locks are dropped."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    async def acquire(self, modes: LockModes, timeout_s: float) -> None:
        """Acquire all of these, always in the same order. Raise `Unavailable`; then none is held."""
        taken: dict[str, bool] = {}
        try:
            async with asyncio.timeout(timeout_s):
                for name in sorted(modes):
                    await self._acquire(name, exclusive=modes[name])
                    taken[name] = modes[name]
        except TimeoutError:
            self.release(taken)
            raise Unavailable(
                "other commands on this task or list are taking too long; nothing was changed, try again"
            ) from None
        except BaseException:
            self.release(taken)
            raise

    def release(self, modes: LockModes) -> None:
        """Release these locks."""
        for name in modes:
            entry = self._entries[name]
            entry.holders = 0 if entry.holders == -1 else entry.holders - 1
            self._admit(name, entry)

    async def _acquire(self, name: str, *, exclusive: bool) -> None:
        entry = self._entries.setdefault(name, _Entry())
        if not entry.waiting and _is_free(entry, exclusive=exclusive):
            entry.holders = -1 if exclusive else entry.holders + 1
            return
        if len(entry.waiting) >= MAX_WAITING_PER_LOCK:
            raise Unavailable("too many commands are waiting for this task or list")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry.waiting.append((exclusive, turn))
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release({name: exclusive})  # It was granted while this waiter gave up.
            else:
                entry.waiting.remove((exclusive, turn))
                self._admit(name, entry)
            raise

    def _admit(self, name: str, entry: _Entry) -> None:
        """Grant the lock to the next waiter, or to all consecutive waiters that share it."""
        while entry.waiting and _is_free(entry, exclusive=entry.waiting[0][0]):
            exclusive, turn = entry.waiting.popleft()
            if turn.cancelled():
                continue
            entry.holders = -1 if exclusive else entry.holders + 1
            turn.set_result(None)
        if entry.holders == 0 and not entry.waiting:
            self._entries.pop(name, None)


def _is_free(entry: _Entry, *, exclusive: bool) -> bool:
    return entry.holders == 0 if exclusive else entry.holders >= 0
