"""The counters of a node: plain numbers, cheap enough for the innermost loop.

This module does not depend on Prometheus: `api.telemetry.prometheus` reads the numbers on request. Every
table of numbers is bounded, as its keys are our own names and never client input.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import Literal

Transport = Literal["websocket", "sse", "socketio"]

FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets for durations of milliseconds."""

REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Upper bounds of the buckets for requests: fewer, as there are many kinds of requests."""

CLOSES_OF_PEERS = frozenset({1000, 1001, 1005, 1006, 1009, 1011})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Latencies:
    """A histogram of durations."""

    __slots__ = ("_counts", "_ends_s", "sum_s")

    def __init__(self, ends_s: Sequence[float] = FAST_S) -> None:
        self._ends_s = ends_s
        self._counts = [0] * (len(ends_s) + 1)
        self.sum_s = 0.0

    @property
    def count(self) -> int:
        """Return the number of observations."""
        return sum(self._counts)

    def observe(self, seconds: float) -> None:
        """Add an observation; treat negative values, which come from differing clocks, as zero."""
        seconds = max(0.0, seconds)
        self._counts[bisect_left(self._ends_s, seconds)] += 1
        self.sum_s += seconds

    def cumulative(self) -> Iterable[tuple[float, int]]:
        """Return the upper bound of each bucket, and the cumulative count; the last bound is infinite."""
        return zip((*self._ends_s, float("inf")), accumulate(self._counts), strict=True)


@dataclass(slots=True)
class Traffic:
    """The traffic of the connections of one transport and encoding."""

    opened: int = 0
    closed: int = 0
    received: int = 0
    messages: int = 0
    size_bytes: int = 0
    """Bytes sent on the wire, without TLS."""

    @property
    def open(self) -> int:
        """Return the number of open connections."""
        return self.opened - self.closed


@dataclass(slots=True)
class RelayCounters:
    """The counters of the relay of a node."""

    traffic: dict[tuple[str, str], Traffic] = field(default_factory=dict)
    """(transport, encoding) → traffic."""
    waiting_bytes: dict[str, Callable[[], int]] = field(default_factory=dict)
    """Transport → function that returns the bytes waiting in the buffers of its connections."""
    closes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(code, `server` or `client`) → count."""
    commands: dict[str, Latencies] = field(default_factory=dict)
    """Type of a client's message → duration of handling it."""
    refusals: Counter[str] = field(default_factory=Counter)
    """By the error's code."""
    limited: Counter[str] = field(default_factory=Counter)
    """By limit: `socket_rate`, `user_rate`, `user_connections`, `address_connections`."""
    recovered_memory: int = 0
    """Recoveries from the replay buffer alone."""
    recovered_audit: int = 0
    """Recoveries from the audit."""
    resyncs: int = 0
    """Recoveries that were too long: the client had to load a snapshot."""
    ring_misses: int = 0
    """Recoveries whose next update the replay buffer no longer had."""
    feed_lag: int = 0
    """Updates in the topic that had not arrived at the feed's last check."""
    delivery: Latencies = field(default_factory=Latencies)
    """Time from an event in the log to the write of its update to the sockets; once per batch."""
    last_delivery: tuple[float, float] | None = None
    """Time of the latest observation, in seconds since the epoch, and its value."""

    def traffic_of(self, transport: Transport, encoding: str) -> Traffic:
        """Return the counters of one kind of connection, for the connection to update."""
        return self.traffic.setdefault((transport, encoding), Traffic())

    def handled(self, message_type: str, seconds: float) -> None:
        """Count a handled message of a client; only types of the protocol."""
        latencies = self.commands.get(message_type)
        if latencies is None:
            latencies = self.commands[message_type] = Latencies()
        latencies.observe(seconds)

    def closed(self, code: int) -> None:
        """Count a connection that this node closed."""
        self.closes[str(code), "server"] += 1

    def left(self, code: int | None) -> None:
        """Count a connection that its peer closed; None if without a code. Any code may arrive."""
        known = "none" if code is None else str(code) if code in CLOSES_OF_PEERS else "other"
        self.closes[known, "client"] += 1

    def delivered(self, event_time: str, now_s: float) -> None:
        """Observe the age of the oldest update of a batch when it was written; `now_s` since the epoch."""
        delay_s = now_s - datetime.fromisoformat(event_time).timestamp()
        self.delivery.observe(delay_s)
        self.last_delivery = (now_s, max(0.0, delay_s))


@dataclass(slots=True)
class HttpCounters:
    """The durations of requests until the start of their responses."""

    requests: dict[tuple[str, str, int], Latencies] = field(default_factory=dict)
    """(method, template of the route, status) → duration."""

    def observe(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request; `route` is None if none matched."""
        key = (method if method in METHODS else "other", route or "none", status)
        latencies = self.requests.get(key)
        if latencies is None:
            latencies = self.requests[key] = Latencies(REQUEST_S)
        latencies.observe(seconds)


@dataclass(slots=True)
class Counters:
    """The counters of the hub."""

    published: int = 0
    duplicates: int = 0
    gaps: int = 0
    delivered: int = 0
    subscriptions: int = 0
