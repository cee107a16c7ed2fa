"""Metrics of projecting: read from the log and the database at the time of the request.

They are the same on every node: workers have no port of their own and store their metrics in the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from api.endpoints.readiness import Standing, find_standing
from api.http.dependencies import Dependencies
from app.errors import TaskError
from app.log.records import RawRecord
from app.positions import Position
from projections.queries.workers import WorkerReport

OLDEST_LIMIT_S = 2.0
_COUNTERS = {
    "projected": "Records that were projected, parked ones included.",
    "parked": "Records that were parked.",
    "already_done": "Records that were delivered again and skipped.",
    "refilled": "Records that were read in bulk from the log.",
    "emitted_again": "Updates that were written again.",
    "batches": "Batches that were projected, without those in bulk.",
    "retries": "Retries of projecting.",
}


async def read_projection_metrics(deps: Dependencies) -> list[Metric]:
    """Return the metrics that are available now; those whose source is unavailable are missing."""
    standing = await find_standing(deps)
    return projection_metrics(standing, await _ages_s(deps, standing), deps.clock())


def projection_metrics(standing: Standing, ages_s: Mapping[int, float], now: datetime) -> list[Metric]:
    """Return the metrics of a standing; `ages_s` is the age of each partition's first unprojected record."""
    found: list[Metric] = []
    if standing.lags is not None:
        found += _lag_metrics(standing.lags, ages_s)
    if standing.parked is not None:
        parked = standing.parked
        found += [
            _gauge("parked_records", "Records that are parked.", parked.records),
            _gauge("held_streams", "Streams that wait for a parked record.", parked.holders),
            _gauge("parked_oldest_age_seconds", "Age of the oldest parked record.", parked.oldest_age_s),
        ]
    if standing.workers is not None:
        found += _worker_metrics(standing.workers, now)
        found += _tree_head_metrics(standing.workers, now)
    return found


def _lag_metrics(lags: Mapping[int, int], ages_s: Mapping[int, float]) -> Iterable[Metric]:
    records = GaugeMetricFamily(
        "tasktape_projection_lag_records", "Records that are not projected yet.", labels=["partition"]
    )
    seconds = GaugeMetricFamily(
        "tasktape_projection_lag_seconds",
        "Age of the oldest record that is not projected yet, 0 if there is none.",
        labels=["partition"],
    )
    for partition, lag in lags.items():
        records.add_metric([str(partition)], lag)
        if partition in ages_s:
            seconds.add_metric([str(partition)], ages_s[partition])
    return records, seconds


async def _ages_s(deps: Dependencies, standing: Standing) -> dict[int, float]:
    """Return the age of each partition's first unprojected record; 0 where there is none."""
    lags, positions = standing.lags or {}, standing.positions or {}
    ages = {partition: 0.0 for partition, lag in lags.items() if not lag}
    behind = [Position(partition, positions.get(partition, -1) + 1) for partition, lag in lags.items() if lag]
    now = deps.clock()
    for position, raw in zip(
        behind, await asyncio.gather(*(_record(deps, each) for each in behind)), strict=True
    ):
        if raw is not None:
            ages[position.partition] = max(0.0, (now - raw.recorded_at).total_seconds())
    return ages


async def _record(deps: Dependencies, position: Position) -> RawRecord | None:
    try:
        async with asyncio.timeout(OLDEST_LIMIT_S):
            async for raws in deps.log.read(position.partition, position.offset, position.offset + 1):
                return raws[0]
    except (TaskError, TimeoutError):
        return None
    return None


def _worker_metrics(workers: Sequence[WorkerReport], now: datetime) -> Iterable[Metric]:
    labels = ["worker"]
    up = GaugeMetricFamily("tasktape_worker_up", "1 if the worker is alive.", labels=labels)
    ready = GaugeMetricFamily(
        "tasktape_worker_ready", "1 if it projects new records immediately.", labels=labels
    )
    batch = GaugeMetricFamily(
        "tasktape_worker_batch_records", "Records in the last batch, without those in bulk.", labels=labels
    )
    moved = GaugeMetricFamily(
        "tasktape_checkpoint_age_seconds",
        "Time since the checkpoint of a partition last moved.",
        labels=["partition"],
    )
    counters = [
        (name, CounterMetricFamily(f"tasktape_worker_{name}", meaning, labels=labels))
        for name, meaning in _COUNTERS.items()
    ]
    newest: dict[str, float] = {}
    for worker in workers:
        up.add_metric([worker.slot], int(worker.is_up))
        ready.add_metric([worker.slot], int(worker.is_up and worker.ready))
        batch.add_metric([worker.slot], worker.figures.get("batch_records", 0))
        for name, counter in counters:
            counter.add_metric([worker.slot], worker.figures.get(name, 0))
        for partition, at_s in worker.figures.get("moved_at_s", {}).items():
            newest[partition] = max(at_s, newest.get(partition, 0.0))
    for partition, at_s in sorted(newest.items()):
        moved.add_metric([partition], max(0.0, now.timestamp() - at_s))
    return [up, ready, batch, moved, *(counter for _, counter in counters)]


def _tree_head_metrics(workers: Sequence[WorkerReport], now: datetime) -> Iterable[Metric]:
    """Return the metrics of tree heads; workers without keys report none."""
    reports = [
        worker.figures["tree_heads"] for worker in workers if worker.is_up and "tree_heads" in worker.figures
    ]
    if not reports:
        return
    yield _gauge(
        "tree_head_records", "Records in the last tree head.", max(report["size"] for report in reports)
    )
    yield _gauge(
        "tree_head_problem",
        "1 if nothing is signed, because the log does not continue the last tree head.",
        int(any(report["problem"] is not None for report in reports)),
    )
    signed = [report["signed_at_s"] for report in reports if report["signed_at_s"] is not None]
    if signed:
        age_s = max(0.0, now.timestamp() - max(signed))
        yield _gauge("tree_head_age_seconds", "Age of the last tree head.", age_s)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"tasktape_{name}", meaning)
    family.add_metric([], value)
    return family
