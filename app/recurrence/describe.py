"""Recurrence rules in English, for users: common rules are described, others are shown as text."""

from __future__ import annotations

from datetime import UTC, datetime

from app.recurrence.rrule import Rule, rule_of

_UNITS = {"YEARLY": "year", "MONTHLY": "month", "WEEKLY": "week", "DAILY": "day", "HOURLY": "hour"}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WORKDAYS = tuple((weekday, 0) for weekday in range(5))
_ALL_DAYS = tuple((weekday, 0) for weekday in range(7))


def describe(rule: str) -> str:
    """Describe the rule, as "every 2 weeks on Mon, Thu, 5 times"; return its text if that is not possible."""
    try:
        read = rule_of(rule)
    except ValueError:
        return rule
    days, times = _days(read), _times(read)
    if days is None or times is None:
        return rule
    return _every(read) + days + times + _end(read)


def _every(rule: Rule) -> str:
    if rule.freq == "WEEKLY" and rule.by_day == _WORKDAYS and rule.interval == 1:
        return "every weekday"
    unit = _UNITS[rule.freq]
    return f"every {unit}" if rule.interval == 1 else f"every {rule.interval} {unit}s"


def _days(rule: Rule) -> str | None:
    """Describe the days; return "" if the frequency implies them, None if they cannot be described."""
    named = (
        bool(rule.by_month),
        bool(rule.by_month_day),
        bool(rule.by_day),
        bool(rule.by_set_pos),
        bool(rule.by_week_no or rule.by_year_day),
    )
    match rule.freq, named:
        case _, (False, False, False, False, False):
            return ""
        case "WEEKLY", (False, False, True, False, False):
            return "" if _every(rule) == "every weekday" else f" on {_weekdays(rule)}"
        case "MONTHLY", (False, True, False, False, False):
            return f" on the {_month_days(rule)}"
        case "MONTHLY", (False, False, True, False, False) if all(ordinal for _, ordinal in rule.by_day):
            return f" on the {_weekdays(rule)}"
        case "MONTHLY", (False, False, True, True, False):
            return _chosen(rule)
        case "YEARLY", (True, True, False, False, False) if min(rule.by_month_day) > 0:
            return f" on {_dates(rule)}"
        case "YEARLY", (True, False, True, False, False) if all(ordinal for _, ordinal in rule.by_day):
            return f" on the {_weekdays(rule)} of {_months(rule)}"
        case _:
            return None


def _chosen(rule: Rule) -> str | None:
    kinds = {_WORKDAYS: "weekday", _ALL_DAYS: "day"}
    kind = kinds.get(rule.by_day) or (_weekdays(rule) if len(rule.by_day) == 1 else None)
    if kind is None or rule.has_ordinals or rule.times_a_day > 1:
        return None
    return f" on the {', '.join(_ordinal(place) for place in rule.by_set_pos)} {kind}"


def _times(rule: Rule) -> str | None:
    if not (rule.by_hour or rule.by_minute or rule.by_second):
        return ""
    if rule.freq == "HOURLY" or not (rule.by_hour and rule.by_minute) or rule.by_second not in {(), (0,)}:
        return None
    return " at " + ", ".join(f"{hour:02}:{minute:02}" for hour in rule.by_hour for minute in rule.by_minute)


def _end(rule: Rule) -> str:
    if rule.count:
        return ", once" if rule.count == 1 else f", {rule.count} times"
    if isinstance(rule.until, datetime):
        return f", until {rule.until:%Y-%m-%d %H:%M}{' UTC' if rule.until.tzinfo is UTC else ''}"
    return f", until {rule.until}" if rule.until else ""


def _weekdays(rule: Rule) -> str:
    return ", ".join(
        f"{_ordinal(ordinal)} {_DAYS[weekday]}" if ordinal else _DAYS[weekday]
        for weekday, ordinal in rule.by_day
    )


def _month_days(rule: Rule) -> str:
    forwards = [_ordinal(number) for number in rule.by_month_day if number > 0]
    backwards = [f"{_ordinal(number)} day" for number in rule.by_month_day if number < 0]
    return ", ".join(forwards + backwards[::-1])


def _months(rule: Rule) -> str:
    return ", ".join(_MONTHS[month - 1] for month in rule.by_month)


def _dates(rule: Rule) -> str:
    return ", ".join(f"{_MONTHS[month - 1]} {day}" for month in rule.by_month for day in rule.by_month_day)


def _ordinal(number: int) -> str:
    """Format an ordinal: 1st, 2nd, 3rd; -1 is the last, -2 the 2nd last."""
    if number < 0:
        return "last" if number == -1 else f"{_ordinal(-number)} last"
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
