"""Reports of a worker: after errors, and when it is ready."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from projections.batches import Counts
from projections.queries.workers import WorkerReport
from streams import reporting
from streams.projection_loop import LoopCounts
from streams.reporting import Reporter


class Reports:
    """Accepts reports, after errors."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.written: list[WorkerReport] = []
        self.enough = asyncio.Event()

    async def write(self, report: WorkerReport) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.written.append(report)
        if len(self.written) == 2:
            self.enough.set()


async def test_reports_continue_after_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "REPORT_S", 0.001)
    reports, ready = Reports(ConnectionResetError("gone"), ValueError("a bug")), list[bool]()
    loop = SimpleNamespace(ready=True, assigned={2, 0}, counts=LoopCounts(), moved_at_s={})
    projector = SimpleNamespace(counts=Counts())
    reporter = Reporter(
        "w1", cast("Any", loop), cast("Any", projector), cast("Any", reports), lambda: ready.append(True)
    )
    with capture_logs() as lines:
        task = asyncio.create_task(reporter.run())
        async with asyncio.timeout(30):
            await reports.enough.wait()
        task.cancel()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("no report", "info"),
        ("no report", "error"),
    ]
    assert [(each.slot, each.ready, each.partitions) for each in reports.written] == [
        ("w1", True, [0, 2])
    ] * 2
    assert ready
