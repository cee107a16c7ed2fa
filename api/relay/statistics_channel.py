"""The channels `stats:{list_id}`: the statistics of a list, again whenever something changes in it.

A node computes them once for all subscribers of a list, and at most four times a second however many events
arrive: changes during a computation, and until the next one may begin, lead to one more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog

from api.protocol.frames import EncodedMessage, Sendable
from api.relay.hub import Hub
from api.relay.subscribers import Subscriber, Subscription
from app.channels import Channel, list_channel, statistics_channel
from app.errors import Unavailable

log = structlog.get_logger(__name__)

PERIOD_S = 0.25
"""The shortest time between two computations for a list."""
SHARE = 5
"""A list's statistics are computed for a fifth of the time at most."""
REFRESH_S = 60.0
"""Statistics are sent after that time also without changes: tasks age, and become overdue."""
RETRY_S = 1.0
MOST_AT_ONCE = 2
"""Computations at a time, of the connections that the node has to the database."""

Read = Callable[[str], Awaitable[bytes]]
"""Returns the message with the statistics of a list. Raises `Unavailable`."""


class ListStatistics:
    """Sends statistics to the subscribers of their channels."""

    def __init__(
        self, hub: Hub, read: Read, *, period_s: float = PERIOD_S, refresh_s: float = REFRESH_S
    ) -> None:
        self._hub = hub
        self._read = read
        self._period_s = period_s
        self._refresh_s = refresh_s
        self._watched: dict[str, _Watch] = {}
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    def begin(self, list_id: str) -> None:
        """Send the statistics of a list to a new subscriber of its channel, and to the others."""
        watch = self._watched.get(list_id)
        if watch is None:
            watch = self._watched[list_id] = _Watch()
            watch.task = asyncio.create_task(self._run(list_id, watch), name="statistics")
        watch.changed.set()

    async def stop(self) -> None:
        """Stop sending."""
        tasks = [watch.task for watch in self._watched.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, list_id: str, watch: _Watch) -> None:
        """Send while somebody is subscribed."""
        subscribers, updates = self._hub.subscribers, list_channel(list_id)
        subscriber = Subscriber(watch, user="")
        subscribers.subscribe(subscriber, updates, Subscription({}))
        try:
            while self._hub.has(statistics_channel(list_id)):
                watch.changed.clear()
                pause_s = await self._send(list_id, watch)
                await asyncio.sleep(pause_s)
                await watch.wait(self._refresh_s)
        finally:
            subscribers.unsubscribe(subscriber, updates)
            del self._watched[list_id]

    async def _send(self, list_id: str, watch: _Watch) -> float:
        """Compute and send; return how long to wait at least before the next time."""
        async with self._turns:
            began_s = monotonic()
            try:
                message = await self._read(list_id)
            except Unavailable as error:
                log.info("statistics wait", list=list_id, reason=error.detail)
                watch.changed.set()
                return RETRY_S
            took_s = monotonic() - began_s
        self._hub.send(statistics_channel(list_id), EncodedMessage(message))
        return max(self._period_s, SHARE * took_s)


class _Watch:
    """A subscriber of the updates of a list within the node: an update sets `changed`."""

    raw_socket = None

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def push(self, messages: Sendable) -> None:
        """See `subscribers.ClientSink`."""
        del messages
        self.changed.set()

    def removed(self, channel: Channel) -> None:
        """See `subscribers.ClientSink`; a watch has no user, who could lose access."""

    def paused(self) -> None:
        """See `subscribers.ClientSink`."""

    async def wait(self, limit_s: float) -> None:
        """Wait for a change, and no longer than this."""
        try:
            async with asyncio.timeout(limit_s):
                await self.changed.wait()
        except TimeoutError:
            pass
