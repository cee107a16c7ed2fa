"""What every conversation of a node shares, and what it is told through."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from api.auth import Identity
from api.presence.cluster import NullPresence, PresenceTracker
from api.protocol import messages as protocol
from api.protocol.close_codes import CloseReason
from api.protocol.frames import Sendable
from api.relay.channel_access import Visibility
from api.relay.fanout import RawSocket
from api.relay.hub import Hub
from api.relay.presence_messages import PresenceMessages
from api.relay.rate_limits import ConnectionLimits, RateLimits
from api.relay.single_flight import Shared
from api.telemetry.counters import RelayCounters
from app.log.updates import Update
from app.positions import Positions


class Verify(Protocol):
    """Tells who a token was given to."""

    async def verify(self, token: str) -> Identity:
        """The caller. Raises `Unauthenticated` or `Unavailable`."""


class History(Protocol):
    """Tells what has been."""

    async def missed(
        self, channels: Collection[str], since: Positions, upto: Positions, limit: int
    ) -> Sequence[Update] | None:
        """The updates of the channels in `(since, upto]`, in order per partition; None if more than `limit`.

        Raises `Unavailable`.
        """


@dataclass(frozen=True, slots=True)
class Relay:
    """What every conversation of a node shares."""

    hub: Hub
    verifier: Verify
    visibility: Visibility
    history: History
    now: Callable[[], float]
    """Seconds since the epoch."""
    ping_s: float = protocol.PING_S
    authentication_s: float = protocol.AUTHENTICATION_S
    counters: RelayCounters = field(default_factory=RelayCounters)
    rates: RateLimits = field(
        default_factory=lambda: RateLimits(
            protocol.MESSAGES_PER_S, protocol.BURST_MESSAGES, protocol.MESSAGES_PER_S, protocol.BURST_MESSAGES
        )
    )
    presence_tracker: PresenceTracker = field(default_factory=NullPresence)
    presence_messages: PresenceMessages = field(default_factory=PresenceMessages)
    places: ConnectionLimits = field(default_factory=lambda: ConnectionLimits(per_user=0, per_address=0))
    chunk: int = 256
    """How many updates a recovery gives out before it looks whether the client keeps up."""
    whole_lists: Shared[tuple[str, tuple[tuple[int, int], ...]], Sequence[Update] | None] = field(
        default_factory=Shared
    )
    """Reading all that was in a list, by its channel and up to where."""


class SessionSink(Protocol):
    """Where a session's messages leave."""

    @property
    def raw_socket(self) -> RawSocket | None:
        """See `hub.Peer.direct`."""

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""

    @property
    def waiting_bytes(self) -> int:
        """What was given and is not on its way yet."""

    def batch(self) -> None:
        """From here on the client takes several messages as an array, where that is done at all."""

    def push(self, messages: Sendable) -> object:
        """Take what has to be sent; never waits."""

    async def room(self) -> None:
        """Wait until less is waiting to be sent: how a long recovery goes at its reader's pace."""

    def close(self, close_reason: CloseReason | None) -> None:
        """Take nothing more, and end."""
