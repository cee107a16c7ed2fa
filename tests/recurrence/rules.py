"""Random recurrence rules, as text, and their series in Tasktape."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from app.recurrence.next_date import following

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ZONES = ("UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")

Parts = dict[str, Any]

days = st.dates(date(2015, 1, 1), date(2035, 12, 31))
month_ends = days.map(lambda day: day.replace(day=1) - timedelta(days=1))
leap_days = st.sampled_from([date(year, 2, 29) for year in range(2016, 2036, 4)])
all_days = days | month_ends | leap_days
times = st.times().map(lambda moment: moment.replace(second=0, microsecond=0))
intervals = st.integers(1, 5)


def moments(dates: st.SearchStrategy[date]) -> st.SearchStrategy[datetime]:
    """Generate local date-times on these days."""
    return st.builds(datetime.combine, dates, times)


def numbers(least: int, most: int, most_values: int = 3) -> st.SearchStrategy[str]:
    """Generate up to `most_values` different numbers, as a rule lists them; never 0 if they may be
    negative."""
    one = st.integers(least, most).filter(lambda number: number or not least)
    return st.lists(one, min_size=1, max_size=most_values, unique=True).map(listed)


def weekdays(ordinals: st.SearchStrategy[int] | None = None) -> st.SearchStrategy[str]:
    """Generate weekdays, each with an ordinal if there are any; the ordinal 0 stands for none."""
    if ordinals is None:
        return st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=5, unique=True).map(listed)
    one = st.builds(lambda ordinal, weekday: f"{ordinal or ''}{weekday}", ordinals, st.sampled_from(WEEKDAYS))
    return st.lists(one, min_size=1, max_size=3, unique=True).map(listed)


def ordinals(most: int) -> st.SearchStrategy[int]:
    """Return the first to the `most`th, from the beginning or from the end."""
    return st.integers(1, most) | st.integers(-most, -1)


def parts(required: Parts, optional: Parts | None = None) -> st.SearchStrategy[Parts]:
    """Generate rules as their parts; a value that is no strategy stands for itself."""

    def strategies(given: Parts) -> Parts:
        return {
            name: value if isinstance(value, st.SearchStrategy) else st.just(value)
            for name, value in given.items()
        }

    return st.fixed_dictionaries(strategies(required), optional=strategies(optional or {}))


def listed(values: Iterable[Any]) -> str:
    return ",".join(map(str, values))


def written(rule: Parts) -> str:
    return ";".join(f"{name}={value}" for name, value in rule.items())


def due(start: date | datetime, zone: str | None) -> str:
    """Return a local start as a task's due date."""
    if not isinstance(start, datetime):
        return start.isoformat()
    return start.replace(tzinfo=ZoneInfo(zone or "UTC")).isoformat()


def local(due: str) -> str:
    """Return a due date as its local time, without the offset."""
    return due[:19]


def series(rule: str, first: str, zone: str | None, most: int) -> list[str]:
    """Return the dates that follow from one another, `first` included, `most` at most."""
    dates, carried = [first], rule
    while len(dates) < most and (found := following(carried, dates[-1], zone)):
        carried = found.recurrence
        dates.append(found.due)
    return dates


def utc(due: str) -> datetime:
    """Return a due date with an offset as an instant."""
    return datetime.fromisoformat(due).astimezone(UTC)
