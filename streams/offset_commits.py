"""Commits of the checkpoints as the offsets of the workers' group: every second, and at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection

from aiokafka.errors import KafkaError

from projections.postgres.database import PostgresError
from streams.backoff import Backoff
from streams.projection_loop import WAIT_FOR
from streams.supervised_loop import SupervisedLoop

COMMIT_S = 1.0
LAST_LIMIT_S = 0.5
UNCOMMITTED: tuple[type[BaseException], ...] = (*WAIT_FOR, KafkaError, PostgresError)
"""Errors that prevent a commit; the next one follows soon."""


class OffsetCommits:
    """The committer of a worker. `commit` commits the checkpoints of partitions that are not committed yet.

    It tries again after a failure, whether records arrive or not.
    """

    def __init__(
        self, commit: Callable[[Collection[int]], Awaitable[None]], assigned: Callable[[], frozenset[int]]
    ) -> None:
        self._commit = commit
        self._assigned = assigned

    async def run(self) -> None:
        """Commit until cancelled."""
        backoff = Backoff(COMMIT_S, COMMIT_S)
        waiting = "offsets are not committed"
        await SupervisedLoop(backoff, UNCOMMITTED, waiting=waiting, level="info").run(self._step)

    async def _step(self) -> None:
        await self._commit_assigned()
        await asyncio.sleep(COMMIT_S)

    async def end(self) -> None:
        """Commit the last checkpoints, if Kafka and the database are available."""
        with contextlib.suppress(*UNCOMMITTED):
            async with asyncio.timeout(LAST_LIMIT_S):
                await self._commit_assigned()

    async def _commit_assigned(self) -> None:
        # There is no consumer before the first assignment.
        if assigned := self._assigned():
            await self._commit(assigned)
