"""The channel `system`: the state of this node, every few seconds, for subscribed administrators."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from api.protocol.frames import EncodedMessage
from api.protocol.server_messages import SystemReport, SystemStats
from api.relay.connections import ConnectionRegistry
from api.relay.hub import Hub
from api.telemetry.counters import RelayCounters
from app.channels import SYSTEM_CHANNEL

EVERY_S = 2.0
LATELY_S = 60.0
"""A delay measured earlier than that is not current."""


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
        every_s: float = EVERY_S,
    ) -> None:
        self._node = node
        self._hub = hub
        self._connection_registry = connection_registry
        self._counters = counters
        self._now = now
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
                self._hub.send(SYSTEM_CHANNEL, EncodedMessage(self.report().encode()))

    def report(self) -> SystemReport:
        """Return the current figures."""
        last, hub = self._counters.last_delivery, self._hub.counters
        recent = last is not None and last[0] > self._now() - LATELY_S
        return SystemReport(
            node=self._node,
            stats=SystemStats(
                connections=len(self._connection_registry),
                subscriptions=hub.subscriptions,
                published=hub.published,
                delivered=hub.delivered,
                lag_ms=round(last[1] * 1000, 1) if last is not None and recent else None,
            ),
        )
