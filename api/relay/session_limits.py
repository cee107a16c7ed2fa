"""The limits of one session: the rate of its messages, and the quota of its user's connections."""

from __future__ import annotations

from functools import lru_cache
from time import monotonic

from api.protocol.server_messages import Limits
from api.relay.context import Relay
from api.relay.rate_limits import Verdict


class SessionLimits:
    """The share of a session in the limits of its node. `leave` returns it."""

    __slots__ = ("_rate", "_relay", "_user")

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._rate = relay.rates.connection()
        self._user: str | None = None

    def take(self) -> Verdict:
        """Decide on a message that arrives now, and count it if it is over a limit."""
        verdict = self._rate.take(monotonic())
        if verdict is not Verdict.ALLOW:
            self._relay.counters.limited["socket_rate" if self._user is None else "user_rate"] += 1
        return verdict

    def enter(self, user: str) -> bool:
        """Count the connection for its user; return False if the user has too many."""
        if not self._relay.quotas.users.take(user):
            self._relay.counters.limited["user_connections"] += 1
            return False
        self._user = user
        self._relay.rates.enter(user, self._rate)
        return True

    def leave(self) -> None:
        """Release what was taken for the user."""
        user, self._user = self._user, None
        if user is not None:
            self._relay.quotas.users.release(user)
            self._relay.rates.leave(user, monotonic())


@lru_cache(maxsize=1)
def limits_of(messages_per_s: int, burst: int) -> Limits:
    """Return the limits of a session, which are those of all sessions of the node."""
    return Limits(messages_per_s=messages_per_s, burst=burst)
