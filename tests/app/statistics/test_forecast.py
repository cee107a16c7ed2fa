"""Forecasts and percentiles."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.statistics.forecast import HORIZON_DAYS, TRIALS, forecast
from app.statistics.percentiles import percentile

TODAY = date(2026, 11, 30)


def test_steady_throughput_is_certain() -> None:
    """Seven tasks at two a day take four days."""
    found = forecast([2, 2, 2], 7, TODAY, seed=5)
    assert (found.p50, found.p85, found.p95) == (TODAY + timedelta(days=4),) * 3
    assert (found.per_day, found.sampled_days, found.trials) == (2.0, 3, TRIALS)


def test_nothing_left_is_done_today() -> None:
    assert forecast([], 0, TODAY, seed=5).p95 == TODAY


@pytest.mark.parametrize("throughput", [[], [0, 0, 0]])
def test_without_throughput_there_is_no_day(throughput: list[int]) -> None:
    assert forecast(throughput, 1, TODAY, seed=5).p50 is None


def test_days_beyond_ten_years_or_the_calendar_are_not_named() -> None:
    assert forecast([1] + [0] * (HORIZON_DAYS // 4), 10, TODAY, seed=5).p95 is None
    assert forecast([1], 3, date.max - timedelta(days=2), seed=5).p50 is None


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 60), st.integers(0, 2**53))
def test_forecast_is_repeatable_and_ordered(throughput: list[int], tasks: int, seed: int) -> None:
    """The same seed gives the same days, and a higher confidence no earlier one."""
    found = forecast(throughput, tasks, TODAY, seed)
    assert found == forecast(throughput, tasks, TODAY, seed)
    days = [day or date.max for day in (found.p50, found.p85, found.p95)]
    assert TODAY < days[0] <= days[1] <= days[2]


def test_random_throughput_gives_the_known_distribution() -> None:
    """A task on half of the days: the days until the first one are a geometric distribution."""
    found = forecast([0, 1], 1, TODAY, seed=1)
    assert [(day - TODAY).days for day in (found.p50, found.p85, found.p95) if day] in (
        [1, 3, 5],
        [1, 3, 4],
        [2, 3, 5],
    )


def test_percentiles_lie_between_the_nearest_values() -> None:
    assert [percentile([10, 20, 30, 40], fraction) for fraction in (0, 0.5, 1)] == [10, 25, 40]
    assert percentile([3], 0.85) == 3
    assert percentile([], 0.5) is None
