"""Limits of one client on a node: messages by token buckets, and connections by quotas. Pure: no clock.

A message costs a token of its connection's bucket and one of its user's, which all connections of the user on
this node share. Refusals are limited by a bucket too: clients that keep flooding are disconnected.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

MAX_REFUSALS = 100
REFUSALS_PER_S = 1.0
MAX_ABSENT_USERS = 10_000
IPV6_NETWORK_BITS = 64
KNOWN_ADDRESSES = 4_096


class TokenBucket:
    """Allows at most `burst + rate_per_s * t` tokens in any `t` seconds."""

    __slots__ = ("_at_s", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: int) -> None:
        if rate_per_s <= 0 or burst < 1:
            raise ValueError("the bucket would never allow anything")
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take a token; return False if there is none. A clock that goes back adds nothing."""
        self._fill(now_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def release(self) -> None:
        """Return the token that was taken last."""
        self._tokens = min(self._burst, self._tokens + 1)

    def is_full(self, now_s: float) -> bool:
        """Return True if it is full, like a new one."""
        self._fill(now_s)
        return self._tokens >= self._burst

    def _fill(self, now_s: float) -> None:
        if self._at_s is None:
            self._at_s = now_s
        elif now_s > self._at_s:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_per_s)
            self._at_s = now_s


class Verdict(Enum):
    """The decision on a message."""

    ALLOW = "allow"
    REFUSE = "refuse"
    """Answer it with the error `rate`."""
    CLOSE = "close"
    """Too many refusals: close the socket."""


@dataclass(slots=True)
class _UserBucket:
    bucket: TokenBucket
    connections: int = 0


class MessageRate:
    """The rate of one connection, created by `RateLimits.connection`."""

    __slots__ = ("_own", "_refusals", "_user")

    def __init__(self, own: TokenBucket) -> None:
        self._own = own
        self._user: TokenBucket | None = None
        self._refusals: TokenBucket | None = None

    def shares(self, user: TokenBucket) -> None:
        """Also count against the user's bucket from now on."""
        self._user = user

    def take(self, now_s: float) -> Verdict:
        """Decide on a message that arrives now."""
        if self._own.take(now_s):
            if self._user is None or self._user.take(now_s):
                return Verdict.ALLOW
            self._own.release()
        if self._refusals is None:  # few connections need one
            self._refusals = TokenBucket(REFUSALS_PER_S, MAX_REFUSALS)
        return Verdict.REFUSE if self._refusals.take(now_s) else Verdict.CLOSE


@dataclass(slots=True)
class RateLimits:
    """The rates of one node.

    A disconnected user is remembered until their bucket is full again, so that reconnecting gains nothing; at
    most the `MAX_ABSENT_USERS` who left last.
    """

    messages_per_s: float
    burst: int
    user_messages_per_s: float
    user_burst: int
    _users: dict[str, _UserBucket] = field(default_factory=dict)
    # A bucket that is full again ends it, which no cache of cachetools looks at.
    _absent: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        """Return the number of remembered users."""
        return len(self._users)

    def connection(self) -> MessageRate:
        """Return the rate of a new connection, before authentication."""
        return MessageRate(TokenBucket(self.messages_per_s, self.burst))

    def enter(self, user: str, rate: MessageRate) -> None:
        """Assign a connection to its user after authentication. `leave` must follow."""
        known = self._users.get(user)
        if known is None:
            known = self._users[user] = _UserBucket(TokenBucket(self.user_messages_per_s, self.user_burst))
        known.connections += 1
        self._absent.pop(user, None)
        rate.shares(known.bucket)

    def leave(self, user: str, now_s: float) -> None:
        """Record that a connection of the user has ended."""
        known = self._users[user]
        known.connections -= 1
        if known.connections == 0:
            self._absent[user] = None
        self._forget(now_s)

    def _forget(self, now_s: float) -> None:
        """Forget disconnected users with full buckets, longest gone first."""
        while self._absent:
            oldest = next(iter(self._absent))
            if len(self._absent) <= MAX_ABSENT_USERS and not self._users[oldest].bucket.is_full(now_s):
                return
            del self._absent[oldest]
            del self._users[oldest]


class Quota:
    """A maximum number for each key; 0 means unlimited."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        """Return the number of keys in use."""
        return len(self._taken)

    def is_full(self, key: str) -> bool:
        """Return True if the key has reached its quota."""
        return bool(self._limit) and self._taken.get(key, 0) >= self._limit

    def take(self, key: str) -> bool:
        """Take one; return False if the key has reached its quota."""
        if self.is_full(key):
            return False
        self._taken[key] = self._taken.get(key, 0) + 1
        return True

    def release(self, key: str) -> None:
        """Release one that was taken."""
        left = self._taken[key] - 1
        if left:
            self._taken[key] = left
        else:
            del self._taken[key]


class ConnectionLimits:
    """The quotas of connections to a node for each user, and for each client address.

    Use `addresses` with `network_of` the peer at the handshake, and `users` at authentication.
    """

    __slots__ = ("addresses", "users")

    def __init__(self, *, per_user: int, per_address: int) -> None:
        self.users = Quota(per_user)
        self.addresses = Quota(per_address)


@lru_cache(maxsize=KNOWN_ADDRESSES)
def network_of(host: str) -> str:
    """Return the key of an address: for IPv6 its network, as everybody has a whole one to choose from."""
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
