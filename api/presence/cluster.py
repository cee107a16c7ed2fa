"""Signals: presence at work. It hears what sockets do, and tells sockets and other nodes of it."""

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
from api.presence.events import Effect, Publish, Tell, Told
from api.presence.node_messages import Envelope, NodeMessage, Signalled, decode, encode
from api.presence.state import HEARTBEAT_S, TTL_S, Presence
from app.errors import Malformed

log = structlog.get_logger(__name__)

TICK_S = 0.02
JITTER = 0.2


class Listener(Protocol):
    """A socket of this node."""

    def told(self, message: Told) -> None:
        """Take a message; the same object goes to all who get the same. Never waits, and raises nothing."""


class PresenceTracker(Protocol):
    """What a conversation says of its socket, and asks. None of it waits."""

    def enter(self, session: str, user: str, listener: Listener) -> None:
        """It speaks for a user."""

    def attend(self, session: str, channels: Iterable[str]) -> None:
        """It was given channels that it did not ask for."""

    def subscribe(self, session: str, channel: str) -> None:
        """It was given a channel that it asked for: it will be told who is present there."""

    def unsubscribe(self, session: str, channel: str) -> None:
        """It gave a channel up, or the channel was taken away."""

    def signal(self, session: str, channel: str, kind: str, data: Mapping[str, Any]) -> None:
        """It has something to say. Raises `NotFound` or `Malformed`."""

    def leave(self, session: str) -> None:
        """It is closed."""


class NullPresence:
    """A `PresenceTracker` of which nothing is kept or told."""

    def enter(self, session: str, user: str, listener: Listener) -> None:
        """See `PresenceTracker.enter`."""

    def attend(self, session: str, channels: Iterable[str]) -> None:
        """See `PresenceTracker.attend`."""

    def subscribe(self, session: str, channel: str) -> None:
        """See `PresenceTracker.subscribe`."""

    def unsubscribe(self, session: str, channel: str) -> None:
        """See `PresenceTracker.unsubscribe`."""

    def signal(self, session: str, channel: str, kind: str, data: Mapping[str, Any]) -> None:
        """See `PresenceTracker.signal`."""

    def leave(self, session: str) -> None:
        """See `PresenceTracker.leave`."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How often a node says that it is there, and after how long one is gone that does not."""

    heartbeat_s: float = HEARTBEAT_S
    ttl_s: float = TTL_S


@dataclass(slots=True)
class Counters:
    """What was said and heard."""

    published: int = 0
    received: int = 0
    undecodable: int = 0
    told: int = 0


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
        # A later start of a node has a larger number; nodes are named anew each time anyhow.
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
            on_connected=lambda: self._do(self.presence.hello()),
            on_message=self._receive,
            silence_s=self._timing.ttl_s,
        )

    @property
    def connected(self) -> bool:
        """Whether this node can talk to the others."""
        return self._link.connected

    @property
    def lost(self) -> int:
        """How many messages never left this node."""
        return self._link.lost

    def start(self) -> None:
        """Look for the other nodes, in the background."""
        self._link.start()
        self._pulse_task = asyncio.create_task(self._pulse(), name="signals-pulse")

    async def stop(self) -> None:
        """Say goodbye, and stop."""
        self._stopped = True
        if self._tick is not None:
            self._tick.cancel()
        if self._pulse_task is not None:
            self._pulse_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pulse_task
        self._do(self.presence.goodbye())
        await self._link.stop()

    # --- what sockets do (see Crowd) ---------------------------------------------------------------------

    def enter(self, session: str, user: str, listener: Listener) -> None:
        """See `PresenceTracker.enter`."""
        self._listeners[session] = listener
        self.presence.enter(session, user)
        self._soon()

    def attend(self, session: str, channels: Iterable[str]) -> None:
        """See `PresenceTracker.attend`."""
        self.presence.attend(session, channels)
        self._soon()

    def subscribe(self, session: str, channel: str) -> None:
        """See `PresenceTracker.subscribe`."""
        self.presence.subscribe(session, channel)
        self._soon()

    def unsubscribe(self, session: str, channel: str) -> None:
        """See `PresenceTracker.unsubscribe`."""
        self._do(self.presence.unsubscribe(session, channel, self._clock()))

    def signal(self, session: str, channel: str, kind: str, data: Mapping[str, Any]) -> None:
        """See `PresenceTracker.signal`."""
        self._do(self.presence.signal(session, channel, kind, data, self._clock()))

    def leave(self, session: str) -> None:
        """See `PresenceTracker.leave`."""
        if self._listeners.pop(session, None) is not None:
            self._do(self.presence.leave(session, self._clock()))

    # --- what comes of it --------------------------------------------------------------------------------

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tell():
                    self._tell(effect)
                case Publish(message=message):
                    self._publish(message)
        self._soon()

    def _tell(self, tell: Tell) -> None:
        for session in tell.sessions:
            listener = self._listeners.get(session)
            if listener is not None:
                listener.told(tell.message)
                self.counters.told += 1

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
        self._do(self.presence.receive(envelope, self._clock()))

    # --- as time goes by ---------------------------------------------------------------------------------

    def _soon(self) -> None:
        if self._tick is None and not self._stopped and self.presence.restless:
            self._tick = asyncio.get_running_loop().call_later(TICK_S, self._ticked)

    def _ticked(self) -> None:
        self._tick = None
        self._do(self.presence.tick(self._clock()))

    async def _pulse(self) -> None:
        """Say now and then that this node is there, and look who has fallen silent."""
        steps = 5
        while True:
            for _ in range(steps):
                await asyncio.sleep(self._timing.heartbeat_s / steps * _jitter())
                self._do(self.presence.tick(self._clock()))
            self._do(self.presence.heartbeat())


def _jitter() -> float:
    return random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
