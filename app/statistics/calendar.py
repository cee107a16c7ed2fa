"""Days of statistics: a range of dates in a time zone, and the instants between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.errors import FieldError, Invalid

MOST_DAYS = 1_100
"""The longest range, about three years."""
USUAL_DAYS = 30
"""The length of a range without a start."""
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(9998, 12, 31)
"""The limits of ranges, far from the ends of the calendar."""


@dataclass(frozen=True, slots=True)
class Days:
    """Consecutive days in a time zone, none of them after the moment that they are computed for."""

    dates: Sequence[date]
    zone: ZoneInfo

    @property
    def bounds(self) -> list[datetime]:
        """The starts of the days, and the end of the last one, in UTC."""
        if not self.dates:
            return []
        return [start_of(day, self.zone) for day in (*self.dates, self.dates[-1] + timedelta(days=1))]


def days_between(first: date | None, last: date | None, zone: ZoneInfo, moment: datetime) -> Days:
    """Return the days from `first` to `last`, without those after `moment`. Raise `Invalid`.

    By default they end with the day of `moment`, and are 30.
    """
    today = day_of(moment, zone)
    for name, day in (("from", first), ("to", last)):
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            raise Invalid([FieldError(name, f"must be a date from {FIRST_DAY} to {LAST_DAY}")])
    last = last or max(today, first or today)
    first = first or max(last - timedelta(days=USUAL_DAYS - 1), FIRST_DAY)
    if first > last:
        raise Invalid([FieldError("from", f"must not be after `to`, which is {last}")])
    if (last - first).days >= MOST_DAYS:
        raise Invalid([FieldError("from", f"a range has at most {MOST_DAYS:,} days")])
    count = (min(last, today) - first).days + 1
    return Days([first + timedelta(days=number) for number in range(count)], zone)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """Return the day of an instant in a time zone, within the limits of ranges."""
    try:
        return min(max(moment.astimezone(zone).date(), FIRST_DAY), LAST_DAY)
    except OverflowError:
        return FIRST_DAY if moment.year < FIRST_DAY.year else LAST_DAY


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a day begins: its midnight, or the end of the gap that contains it."""
    # For a midnight that a clock skips, the first reading of the clock is that before the gap.
    return datetime.combine(day, time.min, zone).astimezone(UTC)
