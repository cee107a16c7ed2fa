"""The dates of a recurrence rule, by the definition of RFC 5545, section 3.3.10.

The days of the calendar, filtered by the rule's parts, are divided into periods of the rule's frequency. Of
these periods every INTERVAL-th counts, and BYSETPOS chooses from the set of each. Libraries that jump from
match to match search without end for dates that never occur, such as the 30th of February. This module stops
after `HORIZON_YEARS`.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import groupby

from app.recurrence.rrule import Rule

HORIZON_YEARS = 50
"""The search limit for a next date: the 29th of February is a Monday at least every 40 years."""

# The number of days in a period, at most: 53 weeks, if weeks are numbered.
_MOST_DAYS = {"YEARLY": 371, "MONTHLY": 31, "WEEKLY": 7, "DAILY": 1, "HOURLY": 1}


def explicit(rule: Rule, anchor: datetime) -> Rule:
    """Make explicit what a rule takes from its start: "every month" from the 31st is BYMONTHDAY=31."""
    days = rule.by_year_day or rule.by_month_day or rule.by_day
    if rule.freq == "YEARLY" and rule.by_week_no and not days:
        rule = replace(rule, by_day=((anchor.weekday(), 0),))
    elif rule.freq == "YEARLY" and not days:
        rule = replace(rule, by_month=rule.by_month or (anchor.month,), by_month_day=(anchor.day,))
    elif rule.freq == "MONTHLY" and not days:
        rule = replace(rule, by_month_day=(anchor.day,))
    elif rule.freq == "WEEKLY" and not days:
        rule = replace(rule, by_day=((anchor.weekday(), 0),))
    return replace(
        rule,
        by_hour=rule.by_hour or (tuple(range(24)) if rule.freq == "HOURLY" else (anchor.hour,)),
        by_minute=rule.by_minute or (anchor.minute,),
        by_second=rule.by_second or (anchor.second,),
    )


def expanded(rule: Rule, anchor: datetime) -> Iterator[datetime]:
    """Yield the local times of an `explicit` rule, in order, aligned with `anchor`.

    They begin a day or more before the anchor, with a whole period, and end with the last one within
    `HORIZON_YEARS`. The caller applies COUNT and UNTIL.
    """
    positions = _within_reach(rule)
    if rule.by_set_pos and not positions:
        return
    for days, times in _sets(rule, anchor):
        if days[0].year > anchor.year + HORIZON_YEARS:
            return
        for place in _places(positions, len(days) * len(times)):
            day, moment = divmod(place, len(times))
            yield datetime.combine(days[day], times[moment])


def _within_reach(rule: Rule) -> Sequence[int]:
    """Return the positions that a period's set can have, so that no others are searched for."""
    times = len(rule.by_minute) * len(rule.by_second) * (1 if rule.freq == "HOURLY" else len(rule.by_hour))
    most = _MOST_DAYS[rule.freq] * times
    return [position for position in rule.by_set_pos if abs(position) <= most]


def _places(positions: Sequence[int], size: int) -> Sequence[int]:
    """Return the indexes, from 0, that BYSETPOS chooses in a set of `size` times; all if it is empty."""
    if not positions:
        return range(size)
    places = {position - 1 if position > 0 else size + position for position in positions}
    return sorted(place for place in places if 0 <= place < size)


def _sets(rule: Rule, anchor: datetime) -> Iterator[tuple[Sequence[date], Sequence[time]]]:
    """Yield the days and the times of day of each period; its set contains every time of each day."""
    if rule.freq == "HOURLY":
        for day in _days(rule, anchor.date()):
            for hour in _hours(rule, anchor, day):
                yield (day,), _times(rule, anchor, (hour,))
        return
    times = _times(rule, anchor, rule.by_hour)
    start = _period(rule, anchor.date())
    for period, days in groupby(_days(rule, anchor.date()), lambda day: _period(rule, day)):
        if (period - start) % rule.interval == 0:
            yield tuple(days), times


def _times(rule: Rule, anchor: datetime, hours: Sequence[int]) -> Sequence[time]:
    return [
        time(hour, minute, second, anchor.microsecond)
        for hour in hours
        for minute in rule.by_minute
        for second in rule.by_second
    ]


def _hours(rule: Rule, anchor: datetime, day: date) -> Sequence[int]:
    first = ((anchor.toordinal() - day.toordinal()) * 24 + anchor.hour) % rule.interval
    return [hour for hour in range(first, 24, rule.interval) if hour in rule.by_hour]


def _period(rule: Rule, day: date) -> int:
    """Return the number of the period that contains `day`, counted from a fixed day in the past."""
    match rule.freq:
        case "YEARLY":
            return _week(day, rule.week_start)[0] if rule.by_week_no else day.year
        case "MONTHLY":
            return day.year * 12 + day.month
        case "WEEKLY":
            return (day.toordinal() - 1 - rule.week_start) // 7  # 0001-01-01, day 1, was a Monday
        case _:
            return day.toordinal()


# --- days ------------------------------------------------------------------------------------------------


def _days(rule: Rule, anchor: date) -> Iterator[date]:
    """Yield the days that the rule's parts accept, from before the anchor to past the horizon."""
    lead = timedelta(days=_MOST_DAYS[rule.freq])  # so the period of the day before the anchor is complete
    begin = anchor - lead if anchor - date.min > lead else date.min
    first = begin.year * 12 + begin.month - 1
    end = min(anchor.year + HORIZON_YEARS + 2, date.max.year + 1) * 12
    for months in range(first, end):
        year, month = months // 12, months % 12 + 1
        if rule.by_month and month not in rule.by_month:
            continue
        for number in _month_days(rule, monthrange(year, month)[1]):
            day = date(year, month, number)
            if day >= begin and _fits(rule, day):
                yield day


def _month_days(rule: Rule, length: int) -> Sequence[int]:
    if not rule.by_month_day:
        return range(1, length + 1)
    days = {number if number > 0 else length + 1 + number for number in rule.by_month_day}
    return sorted(day for day in days if 1 <= day <= length)


def _fits(rule: Rule, day: date) -> bool:
    if rule.by_year_day:
        number, length = _place_in_year(day)
        if number not in rule.by_year_day and number - length - 1 not in rule.by_year_day:
            return False
    if rule.by_week_no:
        _, week, from_end = _week(day, rule.week_start)
        if week not in rule.by_week_no and from_end not in rule.by_week_no:
            return False
    return not rule.by_day or _is_on_weekday(rule, day)


def _is_on_weekday(rule: Rule, day: date) -> bool:
    """Return whether a day has a weekday of the rule: any, or the nth or nth last of the month or year.

    For example the second Tuesday or the last Friday.
    """
    weekday = day.weekday()
    if (weekday, 0) in rule.by_day:
        return True
    ordinals = [ordinal for numbered, ordinal in rule.by_day if numbered == weekday]
    if not ordinals:
        return False
    if rule.freq == "MONTHLY" or rule.by_month:
        number, length = day.day, monthrange(day.year, day.month)[1]
    else:
        number, length = _place_in_year(day)
    return (number - 1) // 7 + 1 in ordinals or -((length - number) // 7 + 1) in ordinals


def _place_in_year(day: date) -> tuple[int, int]:
    """Return the number of the day in its year, and the number of days in the year."""
    return day.toordinal() - date(day.year, 1, 1).toordinal() + 1, 365 + isleap(day.year)


def _week(day: date, week_start: int) -> tuple[int, int, int]:
    """Return the year of the day's week, the week's number in it, and its number from the end, -1 last.

    A week belongs to the year that contains four or more of its days, so to the year of its fourth day. At
    the ends of the calendar, which may cut a week off, the nearest day within the calendar decides.
    """
    ordinal = day.toordinal() - (day.weekday() - week_start) % 7 + 3
    fourth = date.fromordinal(min(max(ordinal, date.min.toordinal()), date.max.toordinal()))
    number, length = _place_in_year(fourth)
    return fourth.year, (number - 1) // 7 + 1, -((length - number) // 7 + 1)
