"""What a node counts of itself: plain numbers, cheap enough for the innermost loop.

Nothing here knows of Prometheus: `api.telemetry.prometheus` reads the numbers when somebody asks. Every table
of numbers is bounded, as its keys are names of ours and never what a client sent.
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
"""Upper ends of the buckets for what should take milliseconds."""

REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""The same for requests: fewer, as there are many kinds of them."""

CLOSES_OF_PEERS = frozenset({1000, 1001, 1005, 1006, 1009, 1011})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Latencies:
    """How long something took, how often: a histogram."""

    __slots__ = ("_counts", "_ends_s", "sum_s")

    def __init__(self, ends_s: Sequence[float] = FAST_S) -> None:
        self._ends_s = ends_s
        self._counts = [0] * (len(ends_s) + 1)
        self.sum_s = 0.0

    @property
    def count(self) -> int:
        """How often."""
        return sum(self._counts)

    def observe(self, seconds: float) -> None:
        """Count one; clocks that disagree make nothing negative."""
        seconds = max(0.0, seconds)
        self._counts[bisect_left(self._ends_s, seconds)] += 1
        self.sum_s += seconds

    def cumulative(self) -> Iterable[tuple[float, int]]:
        """The upper end of each bucket, and how many took no longer; the last end is infinite."""
        return zip((*self._ends_s, float("inf")), accumulate(self._counts), strict=True)


@dataclass(slots=True)
class Traffic:
    """What goes through the connections of one transport and encoding."""

    opened: int = 0
    closed: int = 0
    received: int = 0
    messages: int = 0
    size_bytes: int = 0
    """Bytes sent, as they are on the wire but for TLS."""

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return self.opened - self.closed


@dataclass(slots=True)
class RelayCounters:
    """What the live side of a node counts."""

    traffic: dict[tuple[str, str], Traffic] = field(default_factory=dict)
    """(transport, encoding) → what went through."""
    waiting_bytes: dict[str, Callable[[], int]] = field(default_factory=dict)
    """Transport → asks how many bytes wait in the buffers of its connections."""
    closes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(code, `server` or `client`) → how often."""
    commands: dict[str, Latencies] = field(default_factory=dict)
    """Type of a client's message → how long it took to do what it asks for."""
    refusals: Counter[str] = field(default_factory=Counter)
    """By the error's code."""
    limited: Counter[str] = field(default_factory=Counter)
    """By limit: `socket_rate`, `user_rate`, `user_connections`, `address_connections`."""
    recovered_memory: int = 0
    """Recoveries that the ring alone could serve."""
    recovered_audit: int = 0
    """Recoveries for which the audit was asked."""
    resyncs: int = 0
    """Recoveries that were too long: the client was told to start afresh."""
    ring_misses: int = 0
    """How often the ring no longer had what a recovery needed next."""
    feed_lag: int = 0
    """Updates that are in the topic and not yet here, when the feed last asked."""
    delivery: Latencies = field(default_factory=Latencies)
    """From the time of an event in the log to the write of its update to the sockets; once per batch."""
    last_delivery: tuple[float, float] | None = None
    """When that was observed last, in seconds since the epoch, and what it was."""

    def traffic_of(self, transport: Transport, encoding: str) -> Traffic:
        """The numbers of one kind of connection, for the connection to keep and to add to."""
        return self.traffic.setdefault((transport, encoding), Traffic())

    def handled(self, message_type: str, seconds: float) -> None:
        """Count a client's message that was dealt with; only types that the protocol has."""
        latencies = self.commands.get(message_type)
        if latencies is None:
            latencies = self.commands[message_type] = Latencies()
        latencies.observe(seconds)

    def closed(self, code: int) -> None:
        """Count a connection that this node closed."""
        self.closes[str(code), "server"] += 1

    def left(self, code: int | None) -> None:
        """Count a connection that its peer closed; None: it was gone without a word. Any code may come."""
        known = "none" if code is None else str(code) if code in CLOSES_OF_PEERS else "other"
        self.closes[known, "client"] += 1

    def delivered(self, event_time: str, now_s: float) -> None:
        """Observe how old the oldest update of a batch is when it was written; `now_s` since the epoch."""
        delay_s = now_s - datetime.fromisoformat(event_time).timestamp()
        self.delivery.observe(delay_s)
        self.last_delivery = (now_s, max(0.0, delay_s))


@dataclass(slots=True)
class HttpCounters:
    """How long requests took until their answer began."""

    requests: dict[tuple[str, str, int], Latencies] = field(default_factory=dict)
    """(method, template of the route, status) → how long."""

    def observe(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request; without a route if none matched."""
        key = (method if method in METHODS else "other", route or "none", status)
        latencies = self.requests.get(key)
        if latencies is None:
            latencies = self.requests[key] = Latencies(REQUEST_S)
        latencies.observe(seconds)


@dataclass(slots=True)
class Counters:
    """What the hub has seen and done."""

    published: int = 0
    duplicates: int = 0
    gaps: int = 0
    delivered: int = 0
    subscriptions: int = 0
