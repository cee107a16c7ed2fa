"""Recurrence rules as text: RFC 5545, section 3.3.10, parsed strictly and written in canonical form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

Frequency = Literal["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"]
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")

MOST_CHARACTERS = 500
MOST_COUNT = 99_999
MOST_INTERVAL = 999
MOST_TIMES_A_DAY = 96
MOST_WEEKS_IN_A_MONTH = 5


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence rule. A `by_` part that is absent is empty; weekdays count from Monday, 0.

    `by_day` contains weekdays with their ordinal, 0 for every one: `-1FR` is `(4, -1)`. `until` is a date, a
    local date-time or one in UTC.
    """

    freq: Frequency
    interval: int = 1
    count: int | None = None
    until: date | datetime | None = None
    by_month: tuple[int, ...] = ()
    by_week_no: tuple[int, ...] = ()
    by_year_day: tuple[int, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_day: tuple[tuple[int, int], ...] = ()
    by_hour: tuple[int, ...] = ()
    by_minute: tuple[int, ...] = ()
    by_second: tuple[int, ...] = ()
    by_set_pos: tuple[int, ...] = ()
    week_start: int = 0

    @property
    def has_ordinals(self) -> bool:
        """Return whether a weekday has an ordinal, as in `1MO`."""
        return any(ordinal for _, ordinal in self.by_day)

    @property
    def times_a_day(self) -> int:
        """Return the number of times that it may occur in one day."""
        hours = len(self.by_hour) or (24 if self.freq == "HOURLY" else 1)
        return hours * (len(self.by_minute) or 1) * (len(self.by_second) or 1)


def rule_of(text: str) -> Rule:
    """Parse a rule, with or without `RRULE:`. Raise `ValueError` with a message for users."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"must have {MOST_CHARACTERS} characters or fewer")
    parts = _parts(text.strip().upper().removeprefix("RRULE:"))
    if "FREQ" not in parts:
        raise ValueError("must have a frequency, such as FREQ=WEEKLY")
    rule = Rule(**{_PARTS[name][0]: _PARTS[name][1](name, value) for name, value in parts.items()})
    _check(rule)
    return rule


def text_of(rule: Rule) -> str:
    """Return the rule in canonical form: parts and values in order, defaults omitted."""
    default = Rule(rule.freq)
    parts = {
        name: write(getattr(rule, field))
        for name, (field, _, write) in _PARTS.items()
        if field == "freq" or getattr(rule, field) != getattr(default, field)
    }
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise ValueError("must be a recurrence rule, such as FREQ=WEEKLY;BYDAY=MO,TH")
        if name not in _PARTS:
            raise ValueError(f"has an unknown part: {name[:20]}")
        if name in parts:
            raise ValueError(f"has {name} twice")
        parts[name] = value
    return parts


# --- the values of parts ---------------------------------------------------------------------------------

_RANGES = {
    "INTERVAL": (1, MOST_INTERVAL),
    "COUNT": (1, MOST_COUNT),
    "BYMONTH": (1, 12),
    "BYWEEKNO": (-53, 53),
    "BYYEARDAY": (-366, 366),
    "BYMONTHDAY": (-31, 31),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSECOND": (0, 59),  # RFC 5545 allows 60, for leap seconds, which no clock of ours has
    "BYSETPOS": (-366, 366),
}
_NUMBER = re.compile(r"[+-]?[0-9]{1,5}", re.ASCII)
_WEEKDAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_UNTIL = re.compile(r"[0-9]{8}(T[0-9]{6}Z?)?", re.ASCII)


def _frequency(name: str, value: str) -> Any:
    if value in {"SECONDLY", "MINUTELY"}:
        raise ValueError(f"{name}={value} is too often for a task")
    if value not in get_args(Frequency):
        raise ValueError(f"{name} must be one of {', '.join(get_args(Frequency))}")
    return value


def _number(name: str, value: str) -> int:
    least, most = _RANGES[name]
    number = int(value) if _NUMBER.fullmatch(value) else None
    if number is None or not least <= number <= most or (least < 0 and number == 0):
        span = f"{least} to {most}" if least >= 0 else f"1 to {most} or -1 to {least}"
        raise ValueError(f"{name} must be {span}")
    return number


def _numbers(name: str, value: str) -> tuple[int, ...]:
    return tuple(sorted({_number(name, number) for number in value.split(",")}))


def _weekday(name: str, value: str) -> int:
    if value not in WEEKDAYS:
        raise ValueError(f"{name} must be one of {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(value)


def _weekdays(name: str, value: str) -> tuple[tuple[int, int], ...]:
    found: set[tuple[int, int]] = set()
    for text in value.split(","):
        match = _WEEKDAY.fullmatch(text)
        ordinal = int(match[1] or 0) if match else 0
        if match is None or abs(ordinal) > 53 or (match[1] and not ordinal):
            raise ValueError(f"{name} must list weekdays, such as MO,TH or 1MO or -1FR")
        found.add((WEEKDAYS.index(match[2]), ordinal))
    return tuple(sorted(found))


def _until(name: str, value: str) -> date | datetime:
    try:
        if _UNTIL.fullmatch(value):
            moment = datetime.fromisoformat(value.removesuffix("Z"))
            return (
                moment.date()
                if "T" not in value
                else moment.replace(tzinfo=UTC if value.endswith("Z") else None)
            )
    except ValueError:
        pass  # for example month 13, hour 25
    raise ValueError(f"{name} must be a date (20261201) or a date-time (20261201T090000Z)")


def _until_text(until: date | datetime) -> str:
    return until.isoformat().replace("+00:00", "Z").replace("-", "").replace(":", "")


def _list_text(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _weekdays_text(weekdays: tuple[tuple[int, int], ...]) -> str:
    return ",".join(f"{ordinal or ''}{WEEKDAYS[weekday]}" for weekday, ordinal in weekdays)


_PARTS: dict[str, tuple[str, Callable[[str, str], Any], Callable[[Any], str]]] = {
    "FREQ": ("freq", _frequency, str),
    "INTERVAL": ("interval", _number, str),
    "COUNT": ("count", _number, str),
    "UNTIL": ("until", _until, _until_text),
    "BYMONTH": ("by_month", _numbers, _list_text),
    "BYWEEKNO": ("by_week_no", _numbers, _list_text),
    "BYYEARDAY": ("by_year_day", _numbers, _list_text),
    "BYMONTHDAY": ("by_month_day", _numbers, _list_text),
    "BYDAY": ("by_day", _weekdays, _weekdays_text),
    "BYHOUR": ("by_hour", _numbers, _list_text),
    "BYMINUTE": ("by_minute", _numbers, _list_text),
    "BYSECOND": ("by_second", _numbers, _list_text),
    "BYSETPOS": ("by_set_pos", _numbers, _list_text),
    "WKST": ("week_start", _weekday, WEEKDAYS.__getitem__),
}
"""The field, the parser and the formatter of each part, in the order in which the parts are written."""

# --- the checks of a rule --------------------------------------------------------------------------------


def _check(rule: Rule) -> None:
    """Check the combination of parts against section 3.3.10, and against our own bounds."""
    yearly, monthly = rule.freq == "YEARLY", rule.freq == "MONTHLY"
    weeks_in_span = 53 if yearly and not rule.by_month else MOST_WEEKS_IN_A_MONTH
    days = rule.by_month or rule.by_week_no or rule.by_year_day or rule.by_month_day or rule.by_day
    times = rule.by_hour or rule.by_minute or rule.by_second
    refusals = {
        "may have COUNT or UNTIL, not both": rule.count and rule.until,
        "BYWEEKNO goes with FREQ=YEARLY only": rule.by_week_no and not yearly,
        "BYYEARDAY goes with FREQ=YEARLY or HOURLY only": rule.by_year_day
        and rule.freq not in {"YEARLY", "HOURLY"},
        "BYMONTHDAY does not go with FREQ=WEEKLY": rule.by_month_day and rule.freq == "WEEKLY",
        "numbered weekdays go with FREQ=MONTHLY or YEARLY only": rule.has_ordinals
        and not (yearly or monthly),
        "numbered weekdays do not go with BYWEEKNO": rule.has_ordinals and rule.by_week_no,
        f"a month has no weekday {MOST_WEEKS_IN_A_MONTH + 1} times": any(
            abs(ordinal) > weeks_in_span for _, ordinal in rule.by_day
        ),
        "BYSETPOS needs another BY part to choose from": rule.by_set_pos and not (days or times),
        f"is too often for a task: more than {MOST_TIMES_A_DAY} times a day": rule.times_a_day
        > MOST_TIMES_A_DAY,
    }
    for message, refused in refusals.items():
        if refused:
            raise ValueError(message)
