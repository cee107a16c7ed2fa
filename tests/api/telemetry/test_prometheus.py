"""Metrics of `/metrics`: format, naming conventions and values."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.endpoints.projection_metrics import projection_metrics
from api.endpoints.readiness import Standing
from api.endpoints.table import ENDPOINTS
from api.http.dependencies import Dependencies
from api.main import application
from api.telemetry.counters import FAST_S, METHODS, Counters, Latencies, RelayCounters
from api.telemetry.prometheus import CONTENT_TYPE, Metrics, text_of
from app.settings import Settings
from projections.queries.workers import WorkerReport
from projections.read_models.dead_letters import Parked
from tests.api.memory_stack import QuietFeed, World, dependencies_on

SECRET = "a secret of the tests that is long enough"
NOT_OURS = ("process_", "python_")
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"


class Node:
    """Metrics of a node, and their exposition."""

    def __init__(self) -> None:
        self.relay = RelayCounters()
        self.hub = Counters()
        self.feed = QuietFeed()
        self.metrics = Metrics("node-1", self.relay, self.hub, self.feed)

    def families(self) -> dict[str, Metric]:
        return parsed(text_of(self.metrics.read()))

    def value(self, name: str, **labels: str) -> float | None:
        return value_of(self.families(), name, **labels)


def parsed(text: bytes) -> dict[str, Metric]:
    """Return name → family."""
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def value_of(families: dict[str, Metric], name: str, **labels: str) -> float | None:
    """Return the value of one sample; None if there is none."""
    found = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) <= 1, f"{name} twice"
    return found[0] if found else None


@pytest.fixture
def node() -> Node:
    return Node()


def busy(node: Node) -> None:
    """Let everything happen once."""
    traffic = node.relay.traffic_of("websocket", "json")
    traffic.opened += 3
    traffic.closed += 1
    traffic.received += 1
    traffic.messages += 7
    traffic.size_bytes += 700
    node.relay.waiting_bytes["websocket"] = lambda: 42
    node.hub.subscriptions += 5
    node.relay.closed(4008)
    node.relay.left(1001)
    node.relay.handled("subscribe", 0.003)
    node.relay.refusals["rate"] += 1
    node.relay.limited["user_rate"] += 1
    node.relay.recovered_memory += 1
    node.relay.recovered_audit += 2
    node.relay.resyncs += 3
    node.relay.ring_misses += 4
    node.relay.feed_lag = 9
    node.relay.delivered("2026-01-01T00:00:00.000000Z", 1_767_225_600.02)
    node.hub.published, node.hub.duplicates, node.hub.gaps, node.hub.delivered = 10, 11, 12, 13
    node.feed.restarts, node.feed.alive = 2, False
    node.metrics.http.observe("GET", "/api/tasks/{id}", 200, 0.02)


def test_names_and_units_follow_the_conventions(node: Node) -> None:
    """A prefix, base units, `_total` for counters, and a description for each."""
    busy(node)
    for name, family in node.families().items():
        if name.startswith(NOT_OURS):
            continue
        assert re.fullmatch(r"tasktape_[a-z]+(_[a-z]+)*", name)
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|milliseconds|kb|count|total)$", name)
        if family.type == "counter":
            assert all(sample.name == f"{name}_total" for sample in family.samples)
        if family.type == "histogram":
            assert name.endswith("_seconds")


def test_everything_is_counted(node: Node) -> None:
    """Each number under its labels."""
    busy(node)
    json = {"transport": "websocket", "encoding": "json"}
    assert node.value("tasktape_node_info", node="node-1", version=version("tasktape")) == 1
    assert node.value("tasktape_connections", **json) == 2
    assert node.value("tasktape_connections_opened_total", **json) == 3
    assert node.value("tasktape_messages_received_total", **json) == 1
    assert node.value("tasktape_messages_sent_total", **json) == 7
    assert node.value("tasktape_sent_bytes_total", **json) == 700
    assert node.value("tasktape_waiting_bytes", transport="websocket") == 42
    assert node.value("tasktape_subscriptions") == 5
    assert node.value("tasktape_closes_total", code="4008", by="server") == 1
    assert node.value("tasktape_closes_total", code="1001", by="client") == 1
    assert node.value("tasktape_refusals_total", code="rate") == 1
    assert node.value("tasktape_limited_total", limit="user_rate") == 1
    sources = [node.value("tasktape_recoveries_total", source=name) for name in ("memory", "audit", "resync")]
    assert sources == [1, 2, 3]
    assert node.value("tasktape_ring_misses_total") == 4
    assert node.value("tasktape_updates_published_total") == 10
    assert node.value("tasktape_updates_duplicate_total") == 11
    assert node.value("tasktape_updates_gaps_total") == 12
    assert node.value("tasktape_deliveries_total") == 13
    assert node.value("tasktape_feed_restarts_total") == 2
    assert node.value("tasktape_feed_up") == 0
    assert node.value("tasktape_feed_lag_updates") == 9


def test_latencies_are_histograms(node: Node) -> None:
    """With sum, count and cumulative buckets."""
    busy(node)
    name = "tasktape_command_duration_seconds"
    assert node.value(f"{name}_bucket", type="subscribe", le="0.0025") == 0
    assert node.value(f"{name}_bucket", type="subscribe", le="0.005") == 1
    assert node.value(f"{name}_bucket", type="subscribe", le="+Inf") == 1
    assert node.value(f"{name}_sum", type="subscribe") == 0.003
    assert node.value("tasktape_event_to_socket_seconds_bucket", le="0.025") == 1
    assert node.value("tasktape_event_to_socket_seconds_bucket", le="0.01") == 0
    request = {"method": "GET", "route": "/api/tasks/{id}", "status": "200"}
    assert node.value("tasktape_http_request_duration_seconds_count", **request) == 1


@given(st.lists(st.one_of(st.sampled_from(FAST_S), st.floats(-1, 20)), max_size=50))
def test_bucket_counts_observations_up_to_its_bound(observed: list[float]) -> None:
    """A clock that is ahead makes none negative."""
    latencies = Latencies()
    for seconds in observed:
        latencies.observe(seconds)
    assert dict(latencies.cumulative()) == {
        end: sum(seconds <= end for seconds in observed) for end in (*FAST_S, float("inf"))
    }
    assert latencies.count == len(observed)
    assert latencies.sum_s >= 0


def test_clients_cannot_create_series(node: Node) -> None:
    """Their close codes, methods and paths share one label value."""
    for code in range(5_000):
        node.relay.left(code)
    node.relay.left(None)
    for number in range(100):
        node.metrics.http.observe(f"M{number}", None, 404, 0.001)
    assert len(node.relay.closes) < 10
    assert node.value("tasktape_closes_total", code="none", by="client") == 1
    other = {"method": "other", "route": "none", "status": "404"}
    assert node.value("tasktape_http_request_duration_seconds_count", **other) == 100


def test_nodes_have_separate_registries() -> None:
    """Also two in one process."""
    one, other = Node(), Node()
    busy(one)
    assert other.value("tasktape_subscriptions") == 0


def test_process_metrics_are_exported(node: Node) -> None:
    """Memory, processor time, open files, and the garbage collector."""
    families = node.families()
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"} <= families.keys()
    assert {"python_info", "python_gc_collections"} <= families.keys()


def test_reference_has_every_metric(node: Node) -> None:
    """By its query name, with its labels; and no other."""
    busy(node)
    rows = re.findall(r"^\| `(tasktape_\w+)(?:\{([\w, ]+)\})?` \|", REFERENCE.read_text(), re.MULTILINE)
    documented = {name: {label for label in labels.split(", ") if label} for name, labels in rows}
    got = {
        f"{name}_total"
        if family.type == "counter"
        else family.samples[0].name
        if name == "tasktape_node"
        else name: {label for sample in family.samples for label in sample.labels} - {"le"}
        for name, family in node.families().items()
        if not name.startswith(NOT_OURS)
    }
    got |= {
        f"{family.name}_total" if family.type == "counter" else family.name: {
            label for sample in family.samples for label in sample.labels
        }
        for family in projection_metrics(STANDING, AGES_S, NOW)
    }
    assert documented == got


FIGURES = {
    "projected": 70,
    "retries": 2,
    "batch_records": 5,
    "moved_at_s": {"0": 1_790_000_000.0},
    "tree_heads": {"size": 40, "signed_at_s": 1_790_000_006.0, "problem": None},
}
STANDING = Standing(
    ends={0: 10, 1: 7},
    positions={0: 9, 1: 3},
    workers=[
        WorkerReport("0", True, [0, 1], FIGURES, age_s=0.5),
        WorkerReport("1", True, [], {}, age_s=60.0),
    ],
    parked=Parked(3, 1, 12.5),
)
AGES_S = {0: 0.0, 1: 4.5}
NOW = datetime.fromtimestamp(1_790_000_008.0, UTC)


def test_projecting_metrics_have_lags_dead_letters_and_workers() -> None:
    """A worker without a report for a minute is neither up nor ready."""
    got = {
        (sample.name, *sample.labels.values()): sample.value
        for family in projection_metrics(STANDING, AGES_S, NOW)
        for sample in family.samples
    }
    expected = {
        ("tasktape_projection_lag_records", "0"): 0,
        ("tasktape_projection_lag_records", "1"): 3,
        ("tasktape_projection_lag_seconds", "1"): 4.5,
        ("tasktape_checkpoint_age_seconds", "0"): 8,
        ("tasktape_parked_records",): 3,
        ("tasktape_held_streams",): 1,
        ("tasktape_parked_oldest_age_seconds",): 12.5,
        ("tasktape_tree_head_records",): 40,
        ("tasktape_tree_head_age_seconds",): 2,
        ("tasktape_tree_head_problem",): 0,
        ("tasktape_worker_up", "0"): 1,
        ("tasktape_worker_ready", "0"): 1,
        ("tasktape_worker_up", "1"): 0,
        ("tasktape_worker_ready", "1"): 0,
        ("tasktape_worker_batch_records", "0"): 5,
        ("tasktape_worker_projected_total", "0"): 70,
        ("tasktape_worker_retries_total", "0"): 2,
    }
    assert {name: got[name] for name in expected} == expected


# --- over HTTP -------------------------------------------------------------------------------------------


class NoPool:
    """An unavailable database."""

    async def fetch(self, *_: object) -> list[Any]:
        """Raise the error of an unavailable database."""
        raise ConnectionRefusedError

    fetchrow = fetch


@pytest.fixture
async def deps() -> AsyncIterator[Dependencies]:
    async with World().running() as world:
        yield dependencies_on(world, world.node(), Settings(jwt_secret=SECRET), NoPool())


@pytest.fixture
def app(deps: Dependencies) -> Starlette:
    app = application(deps.settings)
    app.state.deps = deps
    return app


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def requests_of(client: httpx.AsyncClient) -> dict[tuple[str, str, str], float]:
    """Return (method, route, status) → count in `/metrics`."""
    family = parsed((await client.get("/metrics")).content)["tasktape_http_request_duration_seconds"]
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_count")
    }


async def test_metrics_need_no_token(client: httpx.AsyncClient) -> None:
    """They are text, and take no parameters."""
    answer = await client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    assert (await client.get("/metrics?name=x")).status_code == 400


async def test_requests_are_counted_by_route_template(client: httpx.AsyncClient) -> None:
    """Not by path."""
    for number in range(3):
        await client.get(f"/api/tasks/{number}")
        await client.put(f"/api/lists/{number}/members/a%2Fb")
    await client.get("/no/such/page")
    await client.post("/healthz")
    await client.get("/metrics")
    found = await requests_of(client)
    assert found["GET", "/api/tasks/{id}", "401"] == 3
    assert found["PUT", "/api/lists/{id}/members/{user}", "401"] == 3
    assert found["POST", "/healthz", "405"] == 1
    assert found["GET", "/metrics", "200"] == 1
    assert all(method in METHODS for method, _, _ in found)
    assert not any("no/such" in route for _, route, _ in found)


async def test_unexpected_failure_is_counted_once(app: Starlette, client: httpx.AsyncClient) -> None:
    """As the 500 that it becomes."""

    async def broken(request: Request) -> Response:
        raise RuntimeError("a mistake of ours")

    app.router.routes.insert(0, Route("/broken", broken))
    assert (await client.get("/broken")).status_code == 500
    assert (await requests_of(client))["GET", "/broken", "500"] == 1


def test_exposition_stays_small(node: Node) -> None:
    """It is made in the event loop of the relay: with all routes in use, some thousand lines."""
    busy(node)
    for endpoint in ENDPOINTS:
        for status in (200, 401, 404, 409):
            node.metrics.http.observe(endpoint.method, endpoint.path, status, 0.01)
    assert text_of(node.metrics.read()).count(b"\n") < 4_000
