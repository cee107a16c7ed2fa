"""Locks on lists and tasks: one contract for those within a process and those between processes."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from api.commands.structure_locks import JOIN_S, Leases, SharedLocks, StructureLocks
from app.errors import Unavailable
from app.positions import Position
from projections.postgres.advisory_locks import AdvisoryLocks, open_advisory_locks
from projections.postgres.database import asyncpg_dsn
from tests.places import dying_with_us
from tests.waiting import eventually

SHORT_S, LONG_S = 0.05, 10.0


@dataclass
class LocalHolder:
    """Locks within a process, as seen by others."""

    locks: SharedLocks

    async def acquire(self, modes: Mapping[str, bool], timeout_s: float) -> Any:
        await self.locks.acquire(modes, timeout_s)

        @dataclass
        class Held:
            locks: SharedLocks

            async def release(self) -> None:
                self.locks.release(modes)

        return Held(self.locks)


@pytest.fixture(params=["in a process", "between processes"])
async def two(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[tuple[Any, Any]]:
    """Return two holders that request the same locks."""
    if request.param == "in a process":
        locks = SharedLocks()
        yield LocalHolder(locks), LocalHolder(locks)
        assert len(locks) == 0, "what nobody uses is forgotten"
        return
    namespace = uuid4().hex
    here = await open_advisory_locks(database_url, namespace, holders=3)
    there = await open_advisory_locks(database_url, namespace, holders=3)
    yield here, there
    here.close()
    there.close()


async def test_shared_locks_are_held_together(two: tuple[Any, Any]) -> None:
    """Number of holders unbounded."""
    here, there = two
    held = [await each.acquire({"list:1": False, "task:1": False}, LONG_S) for each in (here, there, here)]
    for each in held:
        await each.release()


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
async def test_exclusive_lock_has_one_holder(two: tuple[Any, Any], *, first: bool, second: bool) -> None:
    """The other holder waits, times out with an error, and gets the lock once it is released."""
    here, there = two
    held = await here.acquire({"list:1": first}, LONG_S)
    with pytest.raises(Unavailable, match="taking too long"):
        await there.acquire({"list:1": second}, SHORT_S)
    waiting = asyncio.create_task(there.acquire({"list:1": second}, LONG_S))
    await held.release()
    await (await waiting).release()


async def test_failed_acquisition_holds_no_lock(two: tuple[Any, Any]) -> None:
    """Not even those that were free."""
    here, there = two
    held = await here.acquire({"list:2": True}, LONG_S)
    with pytest.raises(Unavailable):
        await there.acquire({"list:1": True, "list:2": True, "list:3": True}, SHORT_S)
    free = await here.acquire({"list:1": True, "list:3": True}, LONG_S)
    await free.release()
    await held.release()


async def test_cancelled_acquisition_holds_no_lock(two: tuple[Any, Any]) -> None:
    """For example after a cancelled request."""
    here, there = two
    held = await here.acquire({"list:1": True}, LONG_S)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT_S):
            await there.acquire({"list:0": True, "list:1": True}, LONG_S)
    await held.release()
    await (await here.acquire({"list:0": True, "list:1": True}, LONG_S)).release()


async def test_acquisitions_in_any_order_do_not_deadlock(two: tuple[Any, Any]) -> None:
    here, there = two
    one, other = {"list:1": True, "task:9": True}, {"task:9": True, "list:1": True}

    async def often(locks: Any, modes: Mapping[str, bool]) -> None:
        for _ in range(30):
            await (await locks.acquire(modes, LONG_S)).release()

    await asyncio.gather(often(here, one), often(there, other), often(here, other))


async def test_waiting_exclusive_lock_is_not_overtaken_by_shared_ones(two: tuple[Any, Any]) -> None:
    """So deleting a list gets its turn while tasks are created in it."""
    here, there = two
    held = await here.acquire({"list:1": False}, LONG_S)
    alone = asyncio.create_task(there.acquire({"list:1": True}, LONG_S))
    await eventually(lambda: is_refused(here, "list:1"))
    await held.release()
    await (await alone).release()
    await (await here.acquire({"list:1": False}, LONG_S)).release()


async def is_refused(locks: Any, name: str) -> bool:
    """Return whether acquiring a shared lock has to wait."""
    try:
        held = await locks.acquire({name: False}, SHORT_S)
    except Unavailable:
        return True
    await held.release()
    return False


async def test_locks_end_with_the_process_that_held_them(database_url: str) -> None:
    """Its connections are closed, so nobody waits for it."""
    namespace = uuid4().hex
    here = await open_advisory_locks(database_url, namespace, holders=1)
    there = await open_advisory_locks(database_url, namespace, holders=1)
    await here.acquire({"list:1": True}, LONG_S)
    here.close()
    await (await there.acquire({"list:1": True}, LONG_S)).release()
    there.close()


async def test_locks_of_a_suspended_process_end_with_its_lease(database_url: str) -> None:
    """It does not renew the lease, although its connection is open."""
    namespace = uuid4().hex
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, database_url, namespace, stdout=PIPE, preexec_fn=dying_with_us()
    )
    there = await open_advisory_locks(database_url, namespace, holders=1)
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        await (await there.acquire({"list:1": True}, LONG_S)).release()
    finally:
        holder.kill()
        await holder.wait()
        there.close()


_HOLDER = """
import asyncio, sys
from projections.postgres.advisory_locks import open_advisory_locks

async def hold():
    locks = await open_advisory_locks(sys.argv[1], sys.argv[2], holders=1, lease_s=0.5)
    await locks.acquire({"list:1": True}, 10)
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


async def test_locks_are_released_without_an_error_when_the_server_closes_their_connection(
    database_url: str,
) -> None:
    """Others can be acquired at once, from the same pool too."""
    namespace = uuid4().hex
    here = await open_advisory_locks(database_url, namespace, holders=1)
    held = await here.acquire({"list:1": True}, LONG_S)
    closed = asyncio.Event()
    held.connection.add_termination_listener(lambda _: closed.set())
    closing = await asyncpg.connect(asyncpg_dsn(database_url))
    await closing.execute("SELECT pg_terminate_backend($1)", held.connection.get_server_pid())
    await closing.close()
    await closed.wait()
    await held.release()
    await (await here.acquire({"list:1": True}, LONG_S)).release()
    here.close()


async def test_locks_of_a_healthy_process_outlast_a_lease(database_url: str) -> None:
    """They are renewed until they are released."""
    namespace, lease_s = uuid4().hex, 0.4
    here = await open_advisory_locks(database_url, namespace, holders=1, lease_s=lease_s)
    there = await open_advisory_locks(database_url, namespace, holders=1)
    held = await here.acquire({"list:1": True}, LONG_S)
    with pytest.raises(Unavailable):
        await there.acquire({"list:1": True}, 3 * lease_s)
    await held.release()
    await (await there.acquire({"list:1": True}, LONG_S)).release()
    here.close()
    there.close()


async def test_locks_of_another_instance_are_independent(database_url: str) -> None:
    """Two instances may share one database."""
    here = await open_advisory_locks(database_url, uuid4().hex, holders=1)
    there = await open_advisory_locks(database_url, uuid4().hex, holders=1)
    held = [await each.acquire({"list:1": True}, LONG_S) for each in (here, there)]
    for each in held:
        await each.release()
    here.close()
    there.close()


@pytest.fixture
async def cluster(database_url: str) -> AsyncIterator[tuple[AdvisoryLocks, AdvisoryLocks]]:
    """Return locks of two processes."""
    namespace = uuid4().hex
    opened = [await open_advisory_locks(database_url, namespace, holders=4) for _ in range(2)]
    yield opened[0], opened[1]
    for each in opened:
        each.close()


async def test_locks_are_held_until_the_outcome_is_visible(
    cluster: tuple[AdvisoryLocks, AdvisoryLocks],
) -> None:
    """Also after the response was sent, and against other processes."""
    visible = asyncio.Event()

    async def reached(positions: Mapping[int, int], _wait_s: float) -> bool:
        assert positions == {0: 7}
        return await visible.wait()

    locks = StructureLocks(reached, cluster[0])
    async with locks.hold({"list:1": True}) as hold:
        hold.until(Position(0, 7))
    with pytest.raises(Unavailable):
        await cluster[1].acquire({"list:1": True}, SHORT_S)
    visible.set()
    await (await cluster[1].acquire({"list:1": True}, LONG_S)).release()


async def test_locks_for_late_outcomes_are_bounded(cluster: tuple[AdvisoryLocks, AdvisoryLocks]) -> None:
    """Above the bound the oldest is released, and closing releases all."""

    async def never(_positions: Mapping[int, int], _wait_s: float) -> bool:
        return await asyncio.Event().wait()

    locks = StructureLocks(never)
    for number in range(20):
        async with locks.hold({f"list:{number}": True}) as hold:
            hold.until(Position(0, number))
    async with locks.hold({"list:0": True}):
        pass
    await locks.close()
    async with locks.hold({"list:19": True}):
        pass
    assert cluster


async def test_holders_sharing_a_lease_give_way_to_other_processes(
    cluster: tuple[AdvisoryLocks, AdvisoryLocks],
) -> None:
    """Holders of one process share its locks for a moment; then waiting processes come first."""
    clock = [0.0]
    leases = Leases(cluster[0], lambda: clock[0])
    first = await leases.acquire({"list:1": False}, LONG_S)
    joined = await leases.acquire({"list:1": False}, LONG_S)
    assert joined is first
    alone = asyncio.create_task(cluster[1].acquire({"list:1": True}, LONG_S))
    await eventually(lambda: is_refused(cluster[0], "list:1"))
    clock[0] = JOIN_S
    late = asyncio.create_task(leases.acquire({"list:1": False}, LONG_S))
    await first.release()
    await joined.release()
    await eventually(alone.done)
    assert not late.done()
    await alone.result().release()
    await (await late).release()
