"""Reports of a worker: every second its state, its partitions and its counters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from projections.postgres.database import DATABASE_UNAVAILABLE, PostgresError
from projections.projector import Projector
from projections.queries.workers import WorkerReport, Workers
from streams.backoff import Backoff
from streams.projection_loop import ProjectionLoop
from streams.supervised_loop import SupervisedLoop

REPORT_S = 1.0
FORGET_LIMIT_S = 0.5
UNWRITTEN: tuple[type[BaseException], ...] = (*DATABASE_UNAVAILABLE, PostgresError)
"""Errors that prevent the writing of a report; the next one follows soon."""


class Reporter:
    """The writer of a worker's reports; it calls `on_ready` each time that the worker is ready."""

    def __init__(
        self,
        slot: str,
        loop: ProjectionLoop,
        projector: Projector,
        workers: Workers,
        on_ready: Callable[[], None],
        tree_heads: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._slot = slot
        self._loop = loop
        self._projector = projector
        self._workers = workers
        self._on_ready = on_ready
        self._tree_heads = tree_heads

    async def run(self) -> None:
        """Report until cancelled."""
        backoff = Backoff(REPORT_S, REPORT_S)
        await SupervisedLoop(backoff, UNWRITTEN, waiting="no report", level="info").run(self._step)

    async def _step(self) -> None:
        report = WorkerReport(self._slot, self._loop.ready, sorted(self._loop.assigned), self._figures())
        await self._workers.write(report)
        if report.ready:
            self._on_ready()
        await asyncio.sleep(REPORT_S)

    async def end(self) -> None:
        """Delete the last report, if the database is available."""
        with contextlib.suppress(*UNWRITTEN):
            async with asyncio.timeout(FORGET_LIMIT_S):
                await self._workers.forget(self._slot)

    def _figures(self) -> Mapping[str, Any]:
        counts = {**asdict(self._projector.counts), **asdict(self._loop.counts)}
        moved = {str(partition): at for partition, at in self._loop.moved_at_s.items()}
        heads = {} if self._tree_heads is None else {"tree_heads": self._tree_heads()}
        return {**counts, "moved_at_s": moved, **heads}
