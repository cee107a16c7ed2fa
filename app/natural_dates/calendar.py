"""Days relative to today: the next Friday, the last of the month, the next 29 February."""

from __future__ import annotations

from collections.abc import Callable
from datetime import MAXYEAR, date, timedelta

Day = Callable[[date], date]
"""A function from today to the day that is meant. It raises `ValueError` or `OverflowError`."""
LEAP_CYCLE_YEARS = 8
"""29 February occurs at least once in this many years."""


def in_months(day: date, months: int) -> date:
    """Return the same day so many months later, or the last day of a month that is too short."""
    years, month = divmod(day.month - 1 + months, 12)
    first = date(day.year + years, month + 1, 1)
    return next(first.replace(day=number) for number in range(day.day, 0, -1) if is_day(first, number))


def last_of_month(day: date) -> date:
    """Return the last day of the month of `day`."""
    return in_months(day.replace(day=1), 1) - timedelta(days=1)


def is_day(first: date, number: int) -> bool:
    """Return whether the month that begins at `first` has a day of this number."""
    try:
        first.replace(day=number)
    except ValueError:
        return False
    return True


def next_weekday(today: date, weekday: int) -> date:
    """Return the first day after today with this weekday."""
    return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)


def monday_of(today: date) -> date:
    """Return the Monday of the week of `today`."""
    return today - timedelta(days=today.weekday())


def yearly(month: int, number: int) -> Day:
    """Return a rule for a day of the year: the next one, including today. Raise `ValueError` for none."""
    date(2000, month, number)  # a leap year

    def coming(today: date) -> date:
        for year in range(today.year, min(today.year + LEAP_CYCLE_YEARS, MAXYEAR) + 1):
            if is_day(date(year, month, 1), number) and date(year, month, number) >= today:
                return date(year, month, number)
        raise OverflowError("beyond the calendar")

    return coming
