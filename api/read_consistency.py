"""What must not be said on rows that are older than what this node was told.

Rows are committed before anybody hears of them, so they are newer than all that a node knows; but a database
that crashed has lost its latest ones, until the worker has made them anew from the log. A read may be late
then, and an event that was decided on an old state is superseded. But nobody checks a refusal, or a "there is
nothing left to do": the answer is all there is of it. So these are said on rows only that are known to be
recent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar

from app.errors import TaskError, Unavailable
from app.positions import Positions, covers
from projections.postgres.database import Connection
from projections.postgres.snapshots import positions_at

Q = TypeVar("Q")
T = TypeVar("T")

SnapshotReader: TypeAlias = AbstractAsyncContextManager[tuple[Q, Positions]]
"""Queries that all see one moment of the read models, and the positions it was at."""


def only_on_recent_rows(told: Positions) -> Callable[[Connection], Coroutine[Any, Any, None]]:
    """Return a check of new connections to the database: one may be used once it has all that was `told`.

    A crash of the database ends every connection. So whatever is read on one is as new as what this node was
    told, and nobody need ask again. It raises `Unavailable` if that takes long.
    """

    async def wait(connection: Connection) -> None:
        await wait_until_recent(partial(positions_at, connection), told)

    return wait


def check_recent(reached: Positions, told: Positions) -> None:
    """Check that rows as of `reached` hold all that was `told`. Raises `Unavailable`."""
    if not covers(reached, told):
        raise Unavailable("the read models are behind what was told before; try again")


async def wait_until_recent(positions: Callable[[], Awaitable[Positions]], told: Positions) -> None:
    """Wait until the read models have all that was `told`. Raises `Unavailable` if that takes long."""
    before = dict(told)  # It grows while we read.

    async def check() -> None:
        check_recent(await positions(), before)

    await retry_while_unavailable(check)


async def retry_refusal_on_recent_rows(
    now: Q,
    moment: Callable[[], SnapshotReader[Q]],
    told: Positions,
    ask: Callable[[Q], Awaitable[T]],
    stands: Callable[[T], bool],
) -> T:
    """What `ask` comes to when it is asked `now`, if that `stands`.

    If it does not, or it is a refusal, then what it comes to at a moment that has all that was `told`.
    Raises as `ask`, and `Unavailable` if there is no such moment before long.
    """
    with suppress(TaskError):
        answer = await ask(now)
        if stands(answer):
            return answer
    return await retry_while_unavailable(lambda: _recently(moment, told, ask))


async def _recently(
    moment: Callable[[], SnapshotReader[Q]], told: Positions, ask: Callable[[Q], Awaitable[T]]
) -> T:
    before = dict(told)  # It grows while we read.
    async with moment() as (then, reached):
        check_recent(reached, before)
        return await ask(then)


RETRY_DELAYS_S = (0.05, 0.25, 1.0)


async def retry_while_unavailable(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again, a few times, while the database is away or behind. Raises `Unavailable`."""
    for delay_s in RETRY_DELAYS_S:
        try:
            return await ask()
        except Unavailable:
            await asyncio.sleep(delay_s)
    return await ask()
