"""Signals: presence connected to sockets and to other nodes, in both directions."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from broadcaster import BroadcastBackend

from api.presence.cluster_link import SignalLink
from api.presence.events import Effect, Notify, PresenceNotification, Publish
from api.presence.node_messages import Envelope, NodeMessage, Signalled, decode, encode
from api.presence.state import HEARTBEAT_S, TTL_S, Presence
from app.channels import Channel
from app.errors import Malformed

log = structlog.get_logger(__name__)

TICK_S = 0.02
JITTER = 0.2


class Listener(Protocol):
    """A socket of this node."""

    def notify(self, message: PresenceNotification) -> None:
        """Send a message; all recipients share the same object. Never wait or raise."""


class PresenceTracker(Protocol):
    """The interface of presence for a session. No method waits."""

    def enter(self, session: str, user: str, listener: Listener) -> None:
        """Register a session of a user."""

    def attend(self, session: str, channels: Iterable[Channel]) -> None:
        """Add channels that the session has without a subscription."""

    def subscribe(self, session: str, channel: Channel) -> None:
        """Add a channel that the session subscribed to; send it the users who are present there."""

    def unsubscribe(self, session: str, channel: str) -> None:
        """Remove a channel that the session unsubscribed from or lost access to."""

    def signal(self, session: str, channel: str, kind: str, data: Mapping[str, Any]) -> None:
        """Send a signal of the session. Raise `NotFound` or `Malformed`."""

    def leave(self, session: str) -> None:
        """Remove a closed session."""


class NullPresence:
    """A `PresenceTracker` that stores and sends nothing."""

    def enter(self, session: str, user: str, listener: Listener) -> None:
        """See `PresenceTracker.enter`."""

    def attend(self, session: str, channels: Iterable[Channel]) -> None:
        """See `PresenceTracker.attend`."""

    def subscribe(self, session: str, channel: Channel) -> None:
        """See `PresenceTracker.subscribe`."""

    def unsubscribe(self, session: str, channel: str) -> None:
        """See `PresenceTracker.unsubscribe`."""

    def signal(self, session: str, channel: str, kind: str, data: Mapping[str, Any]) -> None:
        """See `PresenceTracker.signal`."""

    def leave(self, session: str) -> None:
        """See `PresenceTracker.leave`."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The interval of heartbeats, and the time without one after which a node counts as gone."""

    heartbeat_s: float = HEARTBEAT_S
    ttl_s: float = TTL_S


@dataclass(slots=True)
class Counters:
    """The counters of published and received messages."""

    published: int = 0
    received: int = 0
    undecodable: int = 0
    notified: int = 0


class Signals:
    """A `PresenceTracker` that spans all nodes. `start` it in a running event loop."""

    def __init__(
        self,
        topic: str,
        open_backend: Callable[[], BroadcastBackend],
        *,
        node: str,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timing = timing or Timing()
        self._clock = clock
        # A later start of a node has a larger number; a node also has a new name after each start.
        self.presence = Presence(node, time.time_ns(), ttl_s=self._timing.ttl_s)
        self.counters = Counters()
        self._listeners: dict[str, Listener] = {}
        self._tick: asyncio.TimerHandle | None = None
        self._pulse_task: asyncio.Task[None] | None = None
        self._stopped = False
        self._link = SignalLink(
            topic,
            node.encode(),
            open_backend,
            on_connected=lambda: self._apply(self.presence.hello()),
            on_message=self._receive,
            silence_s=self._timing.ttl_s,
        )

    @property
    def connected(self) -> bool:
        """Return True if this node is connected to the others."""
        return self._link.connected

    @property
    def lost(self) -> int:
        """Return the number of messages that never left this node."""
        return self._link.lost

    def start(self) -> None:
        """Connect to the other nodes in the background."""
        self._link.start()
        self._pulse_task = asyncio.create_task(self._pulse(), name="signals-pulse")

    async def stop(self) -> None:
        """Publish a goodbye, and stop."""
        self._stopped = True
        if self._tick is not None:
            self._tick.cancel()
        if self._pulse_task is not None:
            self._pulse_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pulse_task
        self._apply(self.presence.goodbye())
        await self._link.stop()

    # --- the interface for sessions (see PresenceTracker) ---------------------------------------------------

    def enter(self, session: str, user: str, listener: Listener) -> None:
        """See `PresenceTracker.enter`."""
        self._listeners[session] = listener
        self.presence.enter(session, user)
        self._schedule_tick()

    def attend(self, session: str, channels: Iterable[Channel]) -> None:
        """See `PresenceTracker.attend`."""
        self.presence.attend(session, channels)
        self._schedule_tick()

    def subscribe(self, session: str, channel: Channel) -> None:
        """See `PresenceTracker.subscribe`."""
        self.presence.subscribe(session, channel)
        self._schedule_tick()

    def unsubscribe(self, session: str, channel: str) -> None:
        """See `PresenceTracker.unsubscribe`."""
        self._apply(self.presence.unsubscribe(session, channel, self._clock()))

    def signal(self, session: str, channel: str, kind: str, data: Mapping[str, Any]) -> None:
        """See `PresenceTracker.signal`."""
        self._apply(self.presence.signal(session, channel, kind, data, self._clock()))

    def leave(self, session: str) -> None:
        """See `PresenceTracker.leave`."""
        if self._listeners.pop(session, None) is not None:
            self._apply(self.presence.leave(session, self._clock()))

    # --- effects -------------------------------------------------------------------------------------------

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Notify():
                    self._notify(effect)
                case Publish(message=message):
                    self._publish(message)
        self._schedule_tick()

    def _notify(self, effect: Notify) -> None:
        for session in effect.sessions:
            listener = self._listeners.get(session)
            if listener is not None:
                listener.notify(effect.message)
                self.counters.notified += 1

    def _publish(self, message: NodeMessage) -> None:
        cursor = None
        if isinstance(message, Signalled) and message.kind == "cursor":
            cursor = (message.session, message.channel)
        self._link.post(encode(Envelope(self.presence.node, self.presence.incarnation, message)), cursor)
        self.counters.published += 1

    def _receive(self, value: bytes) -> None:
        try:
            envelope = decode(value)
        except Malformed:
            self.counters.undecodable += 1
            return
        self.counters.received += 1
        self._apply(self.presence.receive(envelope, self._clock()))

    # --- timers --------------------------------------------------------------------------------------------

    def _schedule_tick(self) -> None:
        if self._tick is None and not self._stopped and self.presence.needs_tick:
            self._tick = asyncio.get_running_loop().call_later(TICK_S, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        self._apply(self.presence.tick(self._clock()))

    async def _pulse(self) -> None:
        """Publish heartbeats, and drop nodes that have become silent."""
        steps = 5
        while True:
            for _ in range(steps):
                await asyncio.sleep(self._timing.heartbeat_s / steps * _jitter())
                self._apply(self.presence.tick(self._clock()))
            self._apply(self.presence.heartbeat())


def _jitter() -> float:
    return random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
