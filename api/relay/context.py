"""The state that all sessions of a node share, and the interface that they send through."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from api.auth import Identity
from api.presence.cluster import NullPresence, PresenceTracker
from api.protocol.close_codes import CloseReason
from api.protocol.frames import Sendable
from api.protocol.limits import AUTHENTICATION_S, BURST_MESSAGES, MESSAGES_PER_S, PING_S
from api.relay.channel_access import Visibility
from api.relay.fanout import RawSocket
from api.relay.hub import Hub
from api.relay.presence_messages import PresenceMessages
from api.relay.rate_limits import ConnectionLimits, RateLimits
from api.relay.replays import ReplayNode
from api.relay.single_flight import SingleFlight
from api.relay.statistics_channel import ListStatistics
from api.telemetry.counters import RelayCounters
from app.channels import Channel
from app.log.updates import Update
from app.positions import Positions


class Verify(Protocol):
    """Verifies tokens."""

    async def verify(self, token: str) -> Identity:
        """Return the identity of the caller. Raise `Unauthenticated` or `Unavailable`."""


class History(Protocol):
    """Queries past updates."""

    async def missed(
        self, channels: Collection[Channel], since: Positions, upto: Positions, limit: int
    ) -> Sequence[Update] | None:
        """Return the channels' updates in `(since, upto]`, in order per partition; None if more than `limit`.

        Raise `Unavailable`.
        """


@dataclass(frozen=True, slots=True)
class Relay:
    """The state that all sessions of a node share."""

    hub: Hub
    verifier: Verify
    visibility: Visibility
    history: History
    now: Callable[[], float]
    """Seconds since the epoch."""
    replays: ReplayNode
    statistics: ListStatistics
    ping_s: float = PING_S
    authentication_s: float = AUTHENTICATION_S
    counters: RelayCounters = field(default_factory=RelayCounters)
    rates: RateLimits = field(
        default_factory=lambda: RateLimits(MESSAGES_PER_S, BURST_MESSAGES, MESSAGES_PER_S, BURST_MESSAGES)
    )
    presence_tracker: PresenceTracker = field(default_factory=NullPresence)
    presence_messages: PresenceMessages = field(default_factory=PresenceMessages)
    quotas: ConnectionLimits = field(default_factory=lambda: ConnectionLimits(per_user=0, per_address=0))
    chunk: int = 256
    """The number of updates that a recovery sends before it checks whether the client keeps up."""
    whole_lists: SingleFlight[tuple[str, tuple[tuple[int, int], ...]], Sequence[Update] | None] = field(
        default_factory=SingleFlight
    )
    """Reads all updates of a list, by its channel and the positions to read up to."""


class SessionSink(Protocol):
    """The output of a session's messages."""

    @property
    def raw_socket(self) -> RawSocket | None:
        """See `subscribers.ClientSink.raw_socket`."""

    @property
    def closed(self) -> bool:
        """Return True if nothing more is accepted."""

    @property
    def waiting_bytes(self) -> int:
        """Return the number of bytes that are queued."""

    def batch(self) -> None:
        """Allow several messages in an array from here on, where the transport supports it."""

    def push(self, messages: Sendable) -> object:
        """Send messages; never wait."""

    async def writable(self) -> None:
        """Wait until less is queued, so that a long recovery keeps the pace of its reader."""

    def close(self, close_reason: CloseReason | None) -> None:
        """Accept nothing more, and close."""
