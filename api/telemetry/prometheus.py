"""The metrics of a node for Prometheus, read from plain numbers on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, Protocol, TypeVar

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from api.telemetry.counters import Counters, HttpCounters, Latencies, RelayCounters, Traffic

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

T = TypeVar("T")

Labels = tuple[str, ...]


class Feed(Protocol):
    """The state of the feed of updates that metrics need."""

    restarts: int

    @property
    def alive(self) -> bool:
        """Return True if updates arrive, or would if there were any."""


class Metrics:
    """All metrics of one node, in its own registry."""

    def __init__(self, node: str, relay: RelayCounters, hub: Counters, feed: Feed) -> None:
        self.relay = relay
        self.http = HttpCounters()
        self._registry = CollectorRegistry()
        for collector in (_Node(node), _Sockets(relay), _Relay(relay, hub, feed), _Requests(self.http)):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def read(self) -> list[Metric]:
        """Return the current metrics."""
        return list(self._registry.collect())


def text_of(metrics: Iterable[Metric]) -> bytes:
    """Return metrics in the text format of Prometheus; this takes milliseconds and is thread-safe."""
    return generate_latest(_Read(metrics))


class _Read(Collector):
    """Metrics that have been read already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class _Node(Collector):
    """The identity of this node."""

    def __init__(self, node: str) -> None:
        self._about = {"node": node, "version": version("tasktape")}

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("tasktape_node", "The process that answered.", self._about)


class _Sockets(Collector):
    """Connections, and their traffic."""

    def __init__(self, relay: RelayCounters) -> None:
        self._relay = relay

    def collect(self) -> Iterator[Metric]:
        relay = self._relay
        yield _gauge("tasktape_connections", "Live connections.", _TRAFFIC, self._of(lambda each: each.open))
        yield _counter(
            "tasktape_connections_opened",
            "Live connections that were accepted.",
            _TRAFFIC,
            self._of(lambda each: each.opened),
        )
        yield _counter(
            "tasktape_messages_received",
            "Messages of clients.",
            _TRAFFIC,
            self._of(lambda each: each.received),
        )
        yield _counter(
            "tasktape_messages_sent", "Messages to clients.", _TRAFFIC, self._of(lambda each: each.messages)
        )
        yield _counter(
            "tasktape_sent_bytes",
            "Bytes to clients, without TLS.",
            _TRAFFIC,
            self._of(lambda each: each.size_bytes),
        )
        waiting = {(transport,): ask() for transport, ask in relay.waiting_bytes.items()}
        yield _gauge(
            "tasktape_waiting_bytes", "Bytes that clients have not accepted yet.", ("transport",), waiting
        )
        yield _counter("tasktape_closes", "Connections that ended.", ("code", "by"), relay.closes)
        yield _counter("tasktape_refusals", "Messages that were refused.", ("code",), _single(relay.refusals))
        yield _counter(
            "tasktape_limited",
            "Connections and messages that a limit refused.",
            ("limit",),
            _single(relay.limited),
        )
        yield _histogram(
            "tasktape_command_duration_seconds",
            "Time to handle a message of a client.",
            ("type",),
            _single(relay.commands),
        )

    def _of(self, number: Callable[[Traffic], int]) -> Mapping[Labels, int]:
        return {labels: number(traffic) for labels, traffic in self._relay.traffic.items()}


class _Relay(Collector):
    """Incoming and outgoing updates."""

    def __init__(self, relay: RelayCounters, hub: Counters, feed: Feed) -> None:
        self._relay = relay
        self._hub = hub
        self._feed = feed

    def collect(self) -> Iterator[Metric]:
        relay, hub, feed = self._relay, self._hub, self._feed
        recoveries = {
            ("memory",): relay.recovered_memory,
            ("audit",): relay.recovered_audit,
            ("resync",): relay.resyncs,
        }
        yield _counter("tasktape_recoveries", "Recoveries of missed updates.", ("source",), recoveries)
        for name, meaning, value in (
            ("ring_misses", "Recoveries that the replay buffer could not serve.", relay.ring_misses),
            ("updates_published", "Updates that arrived.", hub.published),
            ("updates_duplicate", "Updates that arrived again.", hub.duplicates),
            ("updates_gaps", "Gaps before an update, filled from the audit.", hub.gaps),
            ("deliveries", "Updates sent to connections.", hub.delivered),
            ("feed_restarts", "Times that the feed of updates was interrupted.", feed.restarts),
        ):
            yield _counter(f"tasktape_{name}", meaning, (), {(): value})
        yield _gauge("tasktape_subscriptions", "Subscriptions of connections.", (), {(): hub.subscriptions})
        yield _gauge("tasktape_feed_up", "1 if the feed of updates works.", (), {(): int(feed.alive)})
        yield _gauge("tasktape_feed_lag_updates", "Updates not read yet.", (), {(): relay.feed_lag})
        yield _histogram(
            "tasktape_event_to_socket_seconds",
            "Age of an event when its update was written to the sockets, the oldest of each batch.",
            (),
            {(): relay.delivery},
        )


class _Requests(Collector):
    """HTTP requests."""

    def __init__(self, http: HttpCounters) -> None:
        self._http = http

    def collect(self) -> Iterator[Metric]:
        yield _histogram(
            "tasktape_http_request_duration_seconds",
            "Time until a response started.",
            ("method", "route", "status"),
            {(method, route, str(status)): each for (method, route, status), each in self._requests()},
        )

    def _requests(self) -> Iterable[tuple[tuple[str, str, int], Latencies]]:
        return sorted(self._http.requests.items(), key=lambda request: request[0])


_TRAFFIC = ("transport", "encoding")


def _single(values: Mapping[str, T]) -> dict[Labels, T]:
    return {(label,): value for label, value in values.items()}


def _counter(name: str, meaning: str, labels: Labels, values: Mapping[Any, int]) -> Metric:
    return _filled(CounterMetricFamily(name, meaning, labels=labels), values)


def _gauge(name: str, meaning: str, labels: Labels, values: Mapping[Any, int]) -> Metric:
    return _filled(GaugeMetricFamily(name, meaning, labels=labels), values)


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[Any, int]
) -> CounterMetricFamily | GaugeMetricFamily:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram(name: str, meaning: str, labels: Labels, values: Mapping[Labels, Latencies]) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for found, latencies in values.items():
        ends = [("+Inf" if end == float("inf") else str(end), count) for end, count in latencies.cumulative()]
        family.add_metric(found, ends, latencies.sum_s)
    return family
