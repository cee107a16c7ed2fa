"""Recurring tasks: the next date of a series, from the due date or from the completion.

Each task carries its rule. COUNT in it is the number of remaining occurrences, including this one. Each date
is therefore the start from which the rest of the series is counted.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, tzinfo
from itertools import dropwhile, takewhile

from app.dates import zone_of
from app.recurrence.describe import describe
from app.recurrence.expansion import expanded, explicit
from app.recurrence.rrule import Rule, rule_of, text_of

__all__ = ["Occurrence", "describe", "following", "following_completion", "normal_rule", "occurs"]

DATE_LENGTH = 10
SHORTEST_MONTH_DAYS = 28
LONGEST_GAP = timedelta(days=1)
"""The longest local time that a change of offset has skipped: a whole day, where the date line moved."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A date of a series, written as a task's `due`, with the rule that continues from it."""

    due: str
    recurrence: str


def normal_rule(text: str) -> str:
    """Return an RFC 5545 recurrence rule in canonical form: upper case, without `RRULE:`.

    Raise `ValueError` with a message for users.
    """
    return text_of(rule_of(text))


def occurs(rule: str, due: str, time_zone: str | None) -> bool:
    """Return whether a date follows `due` within the horizon, ignoring COUNT and UNTIL.

    The 30th of February, for example, never occurs.
    """
    return _step(replace(rule_of(rule), count=None, until=None), due, time_zone) is not None


def following(rule: str, scheduled: str, time_zone: str | None) -> Occurrence | None:
    """Return the occurrence after `scheduled`, the date that the series gave to this one.

    Return None if COUNT or UNTIL end the series, or if no date follows within `HORIZON_YEARS`. Times of day
    are in `time_zone`, or keep the offset of `scheduled` if it is unset. Raise `ValueError` for an invalid
    rule or date.
    """
    return _step(rule_of(rule), scheduled, time_zone)


def following_completion(
    rule: str, completed_at: datetime, due: str | None, time_zone: str | None
) -> Occurrence | None:
    """Return the occurrence after one completed at `completed_at`, counted from that day in `time_zone`.

    It keeps the time of day of `due`, unless the rule is hourly: then hours count from the completion. A
    month that is too short for the day of the completion gives its last day. Return None and raise
    `ValueError` as `following` does.
    """
    read = rule_of(rule)
    with suppress(OverflowError):
        if due is not None and len(due) > DATE_LENGTH:
            return _after_moment(read, completed_at, datetime.fromisoformat(due), time_zone)
        zone = zone_of(time_zone)
        today = completed_at.astimezone(zone).date()
        return _carried(read, _next_date(_kept_in_month(_whole_days(read), today), today), zone)
    return None


def _step(rule: Rule, scheduled: str, time_zone: str | None) -> Occurrence | None:
    with suppress(OverflowError):
        if len(scheduled) <= DATE_LENGTH:
            return _carried(
                rule, _next_date(_whole_days(rule), date.fromisoformat(scheduled)), zone_of(time_zone)
            )
        moment = datetime.fromisoformat(scheduled)
        zone = _zone(time_zone, moment)
        return _carried(rule, _next_moment(rule, _wall(moment, zone), moment, zone), zone)
    return None


def _after_moment(
    rule: Rule, completed_at: datetime, due: datetime, time_zone: str | None
) -> Occurrence | None:
    zone = _zone(time_zone, due)
    anchor = completed_at.astimezone(zone).replace(second=0, microsecond=0, tzinfo=None)
    if rule.freq != "HOURLY":
        anchor = datetime.combine(anchor, _wall(due, zone).time())
    after = max(completed_at, anchor.replace(tzinfo=zone).astimezone(UTC))
    return _carried(rule, _next_moment(_kept_in_month(rule, anchor), anchor, after, zone), zone)


def _carried(rule: Rule, found: date | datetime | None, zone: tzinfo) -> Occurrence | None:
    """Return `found` as the next occurrence, or None if COUNT or UNTIL end the series before it."""
    if found is None or rule.count == 1 or _is_past(rule.until, found, zone):
        return None
    left = replace(rule, count=rule.count - 1) if rule.count else rule
    return Occurrence(found.isoformat(), text_of(left))


def _is_past(until: date | datetime | None, found: date | datetime, zone: tzinfo) -> bool:
    """Return whether `found` is after UNTIL: as instants if both have a time, otherwise as days in `zone`."""
    if until is None or until.year in {MINYEAR, MAXYEAR}:
        return until is not None and until.year == MINYEAR  # where instants may be outside of the calendar
    if not isinstance(until, datetime):
        return (found.date() if isinstance(found, datetime) else found) > until
    limit = until.replace(tzinfo=until.tzinfo or zone).astimezone(UTC)
    if isinstance(found, datetime):
        return found.astimezone(UTC) > limit
    return found > limit.astimezone(zone).date()


def _next_date(rule: Rule, after: date) -> date | None:
    midnight = datetime.combine(after, time())
    walls = expanded(explicit(rule, midnight), midnight)
    return next((wall.date() for wall in walls if wall.date() > after), None)


def _next_moment(rule: Rule, anchor: datetime, after: datetime, zone: tzinfo) -> datetime | None:
    """Return the first instant after `after`: where clocks go forward, a later local time may be earlier."""
    walls = expanded(explicit(rule, anchor), anchor)
    near = dropwhile(lambda wall: anchor - wall > LONGEST_GAP, walls)
    later = (moment for wall in near if (moment := wall.replace(tzinfo=zone)).astimezone(UTC) > after)
    first = next(later, None)
    if first is None:
        return None
    rivals = takewhile(lambda moment: moment - first <= LONGEST_GAP, later)
    return min([first, *rivals], key=lambda moment: moment.astimezone(UTC))


def _whole_days(rule: Rule) -> Rule:
    """Return the rule for dates without a time, for which section 3.3.10 ignores BYHOUR and the like."""
    return replace(rule, by_hour=(), by_minute=(), by_second=())


def _kept_in_month(rule: Rule, day: date) -> Rule:
    """Return the rule with "the 31st" meaning the last day of a month, if the rule itself names no day."""
    named = rule.by_week_no or rule.by_year_day or rule.by_month_day or rule.by_day or rule.by_set_pos
    yearly = rule.freq == "YEARLY"
    if named or not (yearly or rule.freq == "MONTHLY") or (yearly and len(rule.by_month) > 1):
        return rule
    month = (day.month,) if yearly else ()
    days = tuple(range(min(day.day, SHORTEST_MONTH_DAYS), day.day + 1))
    latest = tuple(range(-rule.times_a_day, 0))
    return replace(rule, by_month=rule.by_month or month, by_month_day=days, by_set_pos=latest)


def _zone(name: str | None, moment: datetime) -> tzinfo:
    """Return the named zone, or the offset of the date-time if none is named."""
    if moment.tzinfo is None:
        raise ValueError("must have an offset, such as +01:00")
    return zone_of(name) if name else moment.tzinfo


def _wall(moment: datetime, zone: tzinfo) -> datetime:
    """Return the local time of `moment`; for one that clocks skipped, the time that the series intends."""
    meant = moment.replace(tzinfo=zone)
    if meant.utcoffset() == moment.utcoffset():
        return meant.replace(tzinfo=None)
    return moment.astimezone(zone).replace(tzinfo=None)
