"""What one client may take of a node: messages by token buckets, and sockets by counts. Pure: no clock.

A message costs a token of its connection's bucket and one of its user's, which all connections of the user
on this node share. A refusal costs patience, which is a bucket too: who keeps flooding is sent away.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

MAX_REFUSALS = 100
PATIENCE_PER_S = 1.0
MAX_ABSENT_USERS = 10_000
IPV6_NETWORK_BITS = 64
KNOWN_ADDRESSES = 4_096


class TokenBucket:
    """Lets at most `burst + rate_per_s * t` through in any `t` seconds."""

    __slots__ = ("_at_s", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: int) -> None:
        if rate_per_s <= 0 or burst < 1:
            raise ValueError("a bucket that never lets anything through")
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take a token; False if there is none. A clock that goes back adds nothing."""
        self._fill(now_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def give_back(self) -> None:
        """Put back the token that was taken last."""
        self._tokens = min(self._burst, self._tokens + 1)

    def is_full(self, now_s: float) -> bool:
        """Whether it is as good as a new one."""
        self._fill(now_s)
        return self._tokens >= self._burst

    def _fill(self, now_s: float) -> None:
        if self._at_s is None:
            self._at_s = now_s
        elif now_s > self._at_s:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_per_s)
            self._at_s = now_s


class Verdict(Enum):
    """What becomes of a message."""

    ALLOW = "allow"
    REFUSE = "refuse"
    """It is answered with the error `rate`."""
    CLOSE = "close"
    """The socket has been told often enough: it is closed."""


@dataclass(slots=True)
class _UserBucket:
    bucket: TokenBucket
    connections: int = 0


class MessageRate:
    """The rate of one connection; `RateLimits.connection` makes it."""

    __slots__ = ("_own", "_patience", "_user")

    def __init__(self, own: TokenBucket) -> None:
        self._own = own
        self._user: TokenBucket | None = None
        self._patience: TokenBucket | None = None

    def shares(self, user: TokenBucket) -> None:
        """Count against the user's bucket too, from now on."""
        self._user = user

    def take(self, now_s: float) -> Verdict:
        """Judge a message that comes now."""
        if self._own.take(now_s):
            if self._user is None or self._user.take(now_s):
                return Verdict.ALLOW
            self._own.give_back()
        if self._patience is None:  # few ever need one
            self._patience = TokenBucket(PATIENCE_PER_S, MAX_REFUSALS)
        return Verdict.REFUSE if self._patience.take(now_s) else Verdict.CLOSE


@dataclass(slots=True)
class RateLimits:
    """The rates of one node.

    A user who is gone is remembered until their bucket is full again, so that coming back brings nothing;
    of those, only the `MAX_ABSENT_USERS` who left last.
    """

    messages_per_s: float
    burst: int
    user_messages_per_s: float
    user_burst: int
    _users: dict[str, _UserBucket] = field(default_factory=dict)
    # A bucket that is full again ends it, which no cache of cachetools looks at.
    _absent: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        """How many users are remembered."""
        return len(self._users)

    def connection(self) -> MessageRate:
        """The rate of a new connection, of nobody known yet."""
        return MessageRate(TokenBucket(self.messages_per_s, self.burst))

    def enter(self, user: str, rate: MessageRate) -> None:
        """Say whose connection it is, once it is authenticated. `leave` has to follow."""
        known = self._users.get(user)
        if known is None:
            known = self._users[user] = _UserBucket(TokenBucket(self.user_messages_per_s, self.user_burst))
        known.connections += 1
        self._absent.pop(user, None)
        rate.shares(known.bucket)

    def leave(self, user: str, now_s: float) -> None:
        """Say that a connection of the user has ended."""
        known = self._users[user]
        known.connections -= 1
        if known.connections == 0:
            self._absent[user] = None
        self._forget(now_s)

    def _forget(self, now_s: float) -> None:
        """Forget who is gone and owes nothing, the longest gone first."""
        while self._absent:
            oldest = next(iter(self._absent))
            if len(self._absent) <= MAX_ABSENT_USERS and not self._users[oldest].bucket.is_full(now_s):
                return
            del self._absent[oldest]
            del self._users[oldest]


class Quota:
    """So many for each key; 0: as many as one likes."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        """How many keys have any."""
        return len(self._taken)

    def is_full(self, key: str) -> bool:
        """Whether the key has all it may have."""
        return bool(self._limit) and self._taken.get(key, 0) >= self._limit

    def take(self, key: str) -> bool:
        """Take one; False if the key has all it may have."""
        if self.is_full(key):
            return False
        self._taken[key] = self._taken.get(key, 0) + 1
        return True

    def give_back(self, key: str) -> None:
        """Give back one that was taken."""
        left = self._taken[key] - 1
        if left:
            self._taken[key] = left
        else:
            del self._taken[key]


class ConnectionLimits:
    """How many connections of a node one user, and one client address, may have open.

    Ask `addresses` with `network_of` the peer at the handshake, and `users` at authentication.
    """

    __slots__ = ("addresses", "users")

    def __init__(self, *, per_user: int, per_address: int) -> None:
        self.users = Quota(per_user)
        self.addresses = Quota(per_address)


@lru_cache(maxsize=KNOWN_ADDRESSES)
def network_of(host: str) -> str:
    """What an address is counted as: of IPv6 the network, as everybody has a whole one to choose from."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    network = int(address) >> (128 - IPV6_NETWORK_BITS) << (128 - IPV6_NETWORK_BITS)
    return f"{IPv6Address(network)}/{IPV6_NETWORK_BITS}"
