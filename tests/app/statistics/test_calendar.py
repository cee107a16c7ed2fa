"""Days of statistics: ranges and their bounds in time zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Invalid
from app.statistics.calendar import FIRST_DAY, LAST_DAY, MOST_DAYS, day_of, days_between
from app.zones import zone, zone_names

NOW = datetime(2026, 11, 30, 2, tzinfo=UTC)


def test_range_ends_today_and_has_thirty_days_by_default() -> None:
    """Today is that of the time zone."""
    days = days_between(None, None, zone("America/New_York"), NOW)
    assert (days.dates[0], days.dates[-1], len(days.dates)) == (date(2026, 10, 31), date(2026, 11, 29), 30)
    assert days_between(date(2026, 11, 20), None, zone("UTC"), NOW).dates[-1] == date(2026, 11, 30)


def test_days_after_the_moment_are_left_out() -> None:
    assert len(days_between(date(2026, 11, 29), date(2026, 12, 24), zone("UTC"), NOW).dates) == 2
    assert days_between(date(2026, 12, 1), None, zone("UTC"), NOW).bounds == []


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Madrid", date(2026, 3, 29), 23),
        ("Europe/Madrid", date(2026, 10, 25), 25),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # its midnight does not exist
        ("America/Havana", date(2025, 11, 2), 25),  # its midnight comes twice
        ("Asia/Kathmandu", date(2026, 11, 1), 24),
    ],
)
def test_days_are_as_long_as_the_clock_says(name: str, day: date, hours: int) -> None:
    start, end = days_between(day, day, zone(name), NOW).bounds
    assert end - start == timedelta(hours=hours)


@given(st.sampled_from(sorted(zone_names())), st.dates(date(1950, 1, 1), date(2026, 1, 1)))
def test_bounds_ascend_and_contain_their_days(name: str, first: date) -> None:
    """In every time zone; a day that a zone skipped is empty."""
    days = days_between(first, first + timedelta(days=400), zone(name), NOW)
    for day, (start, end) in zip(days.dates, pairwise(days.bounds), strict=False):
        assert start <= end
        assert start == end or day_of(start, days.zone) == day
        assert start == end or day_of(end - timedelta(microseconds=1), days.zone) == day


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        (date(2026, 2, 2), date(2026, 2, 1), "from"),
        (date(2020, 1, 1), date(2020, 1, 1) + timedelta(days=MOST_DAYS), "from"),
        (date.min, None, "from"),
        (None, date.min, "to"),
        (None, date.max, "to"),
    ],
)
def test_impossible_ranges_are_refused(first: date | None, last: date | None, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        days_between(first, last, zone("UTC"), NOW)
    assert refused.value.errors[0].field == field


def test_days_of_moments_stay_within_the_limits() -> None:
    for name in ("Pacific/Kiritimati", "Pacific/Niue"):
        assert day_of(datetime.min.replace(tzinfo=UTC), zone(name)) == FIRST_DAY
        assert day_of(datetime.max.replace(tzinfo=UTC), zone(name)) == LAST_DAY
