"""The channel `system`: the state of this node and of what is behind it, for subscribed administrators."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from api.protocol.frames import EncodedMessage
from api.protocol.server_messages import SystemReport, SystemStats
from api.relay.connections import ConnectionRegistry
from api.relay.hub import Hub
from api.telemetry.counters import RelayCounters
from app.channels import SYSTEM_CHANNEL

EVERY_S = 2.0
LATELY_S = 60.0
"""A delay measured earlier than that is not current."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The state of the log, the read models and the workers; None where it is unknown.

    `appended` are all records of the log. `batches` maps workers to the records in their last batches.
    """

    appended: int | None = None
    lags: Mapping[int, int] | None = None
    parked: int | None = None
    batches: Mapping[str, int] | None = None


async def unknown_pipeline() -> Pipeline:
    """Return a state of which nothing is known."""
    return Pipeline()


class Rate:
    """The increase of a counter a second, between two reports."""

    def __init__(self) -> None:
        self._last: tuple[float, int] | None = None

    def of(self, count: int | None, now_s: float) -> float | None:
        """Return the rate since the last call; None at first, or if the counter is unknown or began again."""
        last, self._last = self._last, None if count is None else (now_s, count)
        if last is None or count is None or now_s <= last[0] or count < last[1]:
            return None
        return round((count - last[1]) / (now_s - last[0]), 1)


class SystemReports:
    """Sends a node's figures to the subscribers of the channel."""

    def __init__(
        self,
        node: str,
        hub: Hub,
        connection_registry: ConnectionRegistry,
        counters: RelayCounters,
        *,
        now: Callable[[], float],
        read_pipeline: Callable[[], Awaitable[Pipeline]] = unknown_pipeline,
        every_s: float = EVERY_S,
    ) -> None:
        self._node = node
        self._hub = hub
        self._connection_registry = connection_registry
        self._counters = counters
        self._now = now
        self._read_pipeline = read_pipeline
        self._appended, self._delivered = Rate(), Rate()
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to send."""
        self._task = asyncio.create_task(self._run(), name="system-reports")

    async def stop(self) -> None:
        """Stop sending."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            if self._hub.has(SYSTEM_CHANNEL):
                report = self.report(await self._read_pipeline())
                self._hub.send(SYSTEM_CHANNEL, EncodedMessage(report.encode()))

    def report(self, pipeline: Pipeline) -> SystemReport:
        """Return the current figures; rates are those since the last report."""
        last, hub = self._counters.last_delivery, self._hub.counters
        now_s = self._now()
        recent = last is not None and last[0] > now_s - LATELY_S
        return SystemReport(
            node=self._node,
            stats=SystemStats(
                connections=len(self._connection_registry),
                sockets=self._sockets(),
                subscriptions=hub.subscriptions,
                published=hub.published,
                delivered=hub.delivered,
                deliveries_per_s=self._delivered.of(hub.delivered, now_s),
                appended_per_s=self._appended.of(pipeline.appended, now_s),
                lag=None if pipeline.lags is None else {str(p): lag for p, lag in pipeline.lags.items()},
                parked=pipeline.parked,
                batches=None if pipeline.batches is None else dict(pipeline.batches),
                lag_ms=round(last[1] * 1000, 1) if last is not None and recent else None,
            ),
        )

    def _sockets(self) -> dict[str, int]:
        """Return the number of open connections of each transport."""
        found: Counter[str] = Counter()
        for (transport, _), traffic in self._counters.traffic.items():
            found[transport] += traffic.open
        return dict(found)
