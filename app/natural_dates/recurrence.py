"""Recurrence in English text, parsed to RFC 5545 rules: `every monday`, `every! 3 days`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.natural_dates.calendar import Day, yearly
from app.natural_dates.dates import END, Strength, phrase_at
from app.natural_dates.due import moment_of
from app.natural_dates.words import (
    DAY_OF_MONTH,
    MONTH,
    NUMBER,
    SHORT_WEEKDAY,
    TIMES_OF_DAY,
    WEEKDAY,
    day_number,
    month_of,
    number_of,
    weekday_of,
)
from app.recurrence.next_date import following, normal_rule
from app.recurrence.rrule import WEEKDAYS as CODES

_DAY_NAME = rf"(?:{WEEKDAY}|{SHORT_WEEKDAY})s?"
_AND = r"(?:, ?and |, ?| and | & )"
_DAY_NAMES = rf"{_DAY_NAME}(?:{_AND}{_DAY_NAME})*"
_NUMERAL = r"[0-9]{1,2}(?:st|nd|rd|th)"
_ORDINAL = rf"(?:{_NUMERAL}|first|second|third|fourth|last)"
_ORDINALS = ("last", "", "first", "second", "third", "fourth")
_UNITS = {
    "hour": ("HOURLY", 1),
    "day": ("DAILY", 1),
    "week": ("WEEKLY", 1),
    "fortnight": ("WEEKLY", 2),
    "month": ("MONTHLY", 1),
    "quarter": ("MONTHLY", 3),
    "year": ("YEARLY", 1),
}
_ADVERBS = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month", "yearly": "year"}
_WORKDAYS = "MO,TU,WE,TH,FR"


@dataclass(frozen=True, slots=True)
class Repetition:
    """A part of a text that describes a recurrence; `rule` follows RFC 5545.

    `first` is the day it begins on, if one is named, and `until` the last day.
    """

    start: int
    end: int
    rule: str
    from_completion: bool = False
    time: time | None = None
    first: Day | None = None
    until: Day | None = None
    strength: Strength = "sure"

    def rule_from(self, today: date) -> str:
        """Return the rule with its end. Raise `ValueError` or `OverflowError` for an impossible day."""
        if self.until is None:
            return self.rule
        return normal_rule(f"{self.rule};UNTIL={self.until(today):%Y%m%d}")


def repetition_at(text: str, at: int) -> Repetition | None:
    """Return the repetition that begins at `at`, or None; the only blanks of `text` are spaces."""
    for pattern, read in _PATTERNS:
        match = pattern.match(text, at)
        found = None if match is None else _read(read, match)
        if found is not None:
            return _with_ends(text, found)
    return None


def first_day(rule: str, earliest: date) -> date:
    """Return the first day of a rule from `earliest` on, regardless of its interval and its end.

    Raise `ValueError` or `OverflowError` if there is none.
    """
    parts = [part for part in rule.split(";") if not part.startswith(("INTERVAL=", "COUNT=", "UNTIL="))]
    if not any(part.startswith("BY") for part in parts):
        return earliest
    found = following(";".join(parts), (earliest - timedelta(days=1)).isoformat(), None)
    if found is None:
        raise ValueError("there is no such day")
    return date.fromisoformat(found.due)


def first_due(repetition: Repetition, at: time | None, now: datetime, zone: ZoneInfo) -> str:
    """Return the first `due` of a task with this repetition; times of today that have passed are skipped.

    Raise `ValueError` or `OverflowError` if there is none.
    """
    today = now.astimezone(zone).date()
    earliest = repetition.first(today) if repetition.first else today
    if repetition.rule.startswith("FREQ=HOURLY") and at is None:
        start = now if earliest <= today else moment_of(earliest, time(), zone)
        return (
            (start + _interval_of(repetition.rule))
            .replace(second=0, microsecond=0)
            .astimezone(zone)
            .isoformat()
        )
    day = first_day(repetition.rule, earliest)
    if at is None:
        return day.isoformat()
    moment = moment_of(day, at, zone)
    if moment <= now and repetition.first is None:
        moment = moment_of(first_day(repetition.rule, day + timedelta(days=1)), at, zone)
    return moment.isoformat()


def _interval_of(hourly: str) -> timedelta:
    interval = re.search("INTERVAL=([0-9]+)", hourly)
    return timedelta(hours=int(interval[1]) if interval else 1)


# --- reading ---------------------------------------------------------------------------------------------

Rule = tuple[str, time | None] | None
_Reader = Callable[[re.Match[str]], Rule]


def _read(read: _Reader, match: re.Match[str]) -> Repetition | None:
    try:
        found = read(match)
        if found is None:
            return None
        rule, at = found
        count = f";COUNT={number_of(match['times'])}" if match["times"] else ""
        text = normal_rule(rule + count)
    except (ValueError, OverflowError):
        return None  # For example every 40th, every 0 days.
    bang = bool(match.groupdict().get("bang"))
    strength: Strength = "weak" if "adverb" in match.groupdict() else "sure"
    return Repetition(match.start(), match.end(), text, bang, at, strength=strength)


def _with_ends(text: str, found: Repetition) -> Repetition:
    """Add the first and last day, if they are named directly after the repetition."""
    for _ in range(2):
        match = _ENDS.match(text, found.end)
        phrase = None if match is None else phrase_at(text, match.end())
        if match is None or phrase is None or phrase.day is None or phrase.time is not None:
            return found
        is_end = match["word"].lower() in {"until", "till"}
        if (found.until or "COUNT=" in found.rule) if is_end else found.first:
            return found
        until, first = (phrase.day, found.first) if is_end else (found.until, phrase.day)
        found = replace(found, until=until, first=first, end=phrase.end)
    return found


def _unit(match: re.Match[str]) -> Rule:
    frequency, each = _UNITS[match["unit"].lower()]
    days = f";BYDAY={_codes(match['days'])}" if match["days"] else ""
    number = f";BYMONTHDAY={day_number(match['number'])}" if match["number"] else ""
    if (days and frequency != "WEEKLY") or (number and frequency != "MONTHLY"):
        return None
    return f"FREQ={frequency}{_interval(match, each)}{days}{number}", None


def _interval(match: re.Match[str], each: int = 1) -> str:
    text = (match["interval"] or "").strip()
    if not text:
        return f";INTERVAL={each}"
    return f";INTERVAL={each * (2 if text.lower() == 'other' else number_of(text))}"


def _codes(names: str) -> str:
    return ",".join(CODES[weekday_of(name)] for name in re.findall("[a-z]+", names.lower()) if name != "and")


def _weekdays(match: re.Match[str]) -> Rule:
    return f"FREQ=WEEKLY{_interval(match)};BYDAY={_codes(match['days'])}", None


def _workdays(match: re.Match[str]) -> Rule:
    return f"FREQ=WEEKLY;BYDAY={'SA' if match['unit'].lower() == 'weekend' else _WORKDAYS}", None


def _parts_of_days(match: re.Match[str]) -> Rule:
    return "FREQ=DAILY", TIMES_OF_DAY[match["unit"].lower()]


def _ordinal(text: str) -> int:
    word = text.lower()
    if word in _ORDINALS:
        return _ORDINALS.index(word) - 1 if word != "last" else -1
    return day_number(word)


def _weekday_of_month(match: re.Match[str]) -> Rule:
    ordinal, kind = _ordinal(match["ordinal"]), match["days"].lower()
    if kind == "day" and ordinal > 0 and not match["of"]:
        return None  # "Every 2nd day" can also mean every other day.
    if kind in {"day", "weekday", "workday"}:
        days = f";BYDAY={_WORKDAYS};BYSETPOS={ordinal}" if kind != "day" else f";BYMONTHDAY={ordinal}"
        return f"FREQ=MONTHLY{days}", None
    return f"FREQ=MONTHLY;BYDAY={ordinal}{_codes(kind)}", None


def _days_of_month(match: re.Match[str]) -> Rule:
    numbers = ",".join(str(day_number(each)) for each in re.findall(r"[0-9]+", match["ordinals"]))
    return f"FREQ=MONTHLY;BYMONTHDAY={numbers}", None


def _day_of_year(match: re.Match[str]) -> Rule:
    month, number = month_of(match["month"]), day_number(match["day"])
    yearly(month, number)
    return f"FREQ=YEARLY;BYMONTH={month};BYMONTHDAY={number}", None


def _adverb(match: re.Match[str]) -> Rule:
    return f"FREQ={_UNITS[_ADVERBS[match['adverb'].lower()]][0]}", None


_EVERY = r"(?:every|ev)(?P<bang>!)? "
_INTERVAL = rf"(?P<interval>(?:other|{NUMBER}) )?"
_ON = rf"(?: on (?:(?P<days>{_DAY_NAMES})|the (?P<number>{DAY_OF_MONTH})))?"
_KIND = rf"(?:day|weekday|workday|{WEEKDAY}|{SHORT_WEEKDAY})"
_TIMES = rf"(?:,? (?:for )?(?P<times>{NUMBER}) times)?"
_OF_MONTH = r"(?P<of> (?:of|in) (?:the|every|each) month)?"
_SOURCES: tuple[tuple[str, _Reader], ...] = (
    (rf"{_EVERY}{_INTERVAL}(?P<days>{_DAY_NAMES})", _weekdays),
    (rf"{_EVERY}{_INTERVAL}(?P<unit>{'|'.join(_UNITS)})s?{_ON}", _unit),
    (rf"{_EVERY}(?P<unit>weekday|workday|weekend)s?", _workdays),
    (rf"{_EVERY}(?P<unit>morning|afternoon|evening|night)", _parts_of_days),
    (rf"{_EVERY}(?P<ordinal>{_ORDINAL}) (?P<days>{_KIND}){_OF_MONTH}", _weekday_of_month),
    (rf"{_EVERY}(?P<ordinals>{_NUMERAL}(?:{_AND}{_NUMERAL})*){_OF_MONTH}", _days_of_month),
    (rf"{_EVERY}(?P<month>{MONTH}) (?P<day>{DAY_OF_MONTH})", _day_of_year),
    (rf"{_EVERY}(?P<day>{DAY_OF_MONTH})(?: of)? (?P<month>{MONTH})", _day_of_year),
    (rf"(?P<adverb>{'|'.join(_ADVERBS)})", _adverb),
)
_PATTERNS = tuple(
    (re.compile(source + _TIMES + END, re.IGNORECASE | re.ASCII), read) for source, read in _SOURCES
)
_ENDS = re.compile(r" ?(?P<word>until|till|starting|from) (?:on )?", re.IGNORECASE | re.ASCII)
