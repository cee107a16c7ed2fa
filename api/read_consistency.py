"""Read consistency: no refusal is based on rows older than the updates that this node has received.

Rows are committed before their updates are published, so they are newer than everything that a node knows.
But a database that crashed has lost its latest rows, until the worker writes them again from the log. A read
may be late then, and an event that was decided on an old state is superseded. But a refusal, or a "nothing
left to do", is never checked again: the response is its only result. So these are based only on rows that are
known to be recent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from app.errors import TaskError, Unavailable
from app.positions import Positions, covers
from projections.postgres.database import PooledConnection
from projections.postgres.snapshots import positions_at

T = TypeVar("T")


def only_on_recent_rows(known: Positions) -> Callable[[PooledConnection], Coroutine[Any, Any, None]]:
    """Return a check of new database connections: one may be used once its rows include `known`.

    A crash of the database ends every connection. So rows read on a checked connection are as new as the
    updates of this node, and need not be checked again. The check raises `Unavailable` on a timeout.
    """

    async def wait(connection: PooledConnection) -> None:
        async def positions() -> Positions:
            await connection.follow()
            return await positions_at(connection)

        await wait_until_recent(positions, known)

    return wait


def check_recent(reached: Positions, known: Positions) -> None:
    """Check that rows as of `reached` include `known`. Raise `Unavailable`."""
    if not covers(reached, known):
        raise Unavailable("the read models are behind this node; try again")


async def wait_until_recent(positions: Callable[[], Awaitable[Positions]], known: Positions) -> None:
    """Wait until the read models include `known`. Raise `Unavailable` on a timeout."""
    before = dict(known)  # It grows meanwhile.

    async def check() -> None:
        check_recent(await positions(), before)

    await retry_while_unavailable(check)


async def retry_refusal(
    ask: Callable[[], Awaitable[T]],
    ask_recent_rows: Callable[[], Awaitable[T]],
    is_accepted: Callable[[T], bool],
) -> T:
    """Return `ask()` if accepted; otherwise ask again on recent rows.

    A refusal, or an answer that `is_accepted` rejects, may be due to old rows. `ask_recent_rows` raises
    `Unavailable` if its rows are not recent, and is retried then. Raise its errors.
    """
    with suppress(TaskError):
        answer = await ask()
        if is_accepted(answer):
            return answer
    return await retry_while_unavailable(ask_recent_rows)


RETRY_DELAYS_S = (0.05, 0.25, 1.0)


async def retry_while_unavailable(ask: Callable[[], Awaitable[T]]) -> T:
    """Retry a few times while the database is unavailable or behind. Raise `Unavailable`."""
    for delay_s in RETRY_DELAYS_S:
        try:
            return await ask()
        except Unavailable:
            await asyncio.sleep(delay_s)
    return await ask()
