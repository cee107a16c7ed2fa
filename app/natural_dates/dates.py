"""Days and times of day in English text: `tomorrow`, `next monday`, `dec 24`, `5pm`.

`phrase_at` knows no clock: a phrase contains a function that computes its day from today. Words such as
`sun`, `3:16` or `12/24` are ambiguous. The `strength` of a phrase says so, and the parser of the whole text
decides by the surrounding words. docs/reference/quick-add.md describes the language for users.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Literal

from app.natural_dates.calendar import (
    LEAP_CYCLE_YEARS,
    Day,
    in_months,
    is_day,
    last_of_month,
    monday_of,
    next_weekday,
    yearly,
)
from app.natural_dates.words import (
    DAY_OF_MONTH,
    MONTH,
    NUMBER,
    SATURDAY,
    SHORT_WEEKDAY,
    TIMES_OF_DAY,
    WEEKDAY,
    WEEKDAYS,
    day_number,
    month_of,
    number_of,
    weekday_of,
)

Moment = Callable[[datetime], datetime]
"""A function from now to the moment that is meant. It raises `ValueError` or `OverflowError`."""

Strength = Literal["sure", "weak", "bound"]
"""`weak` counts at the end of a text or next to another phrase, `bound` only next to another one."""

END = r"(?P<stop>[,;.!?]*)(?= |$)"
"""The end of a phrase: before a blank, with closing punctuation."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A part of a text that names a day, a time of day, both, or a moment."""

    start: int
    end: int
    day: Day | None = None
    time: time | None = None
    moment: Moment | None = None
    strength: Strength = "sure"


Found = Phrase | None
Reader = Callable[[re.Match[str]], Found]


def phrase_at(text: str, at: int) -> Found:
    """Return the longest phrase that begins at `at`, or None; the only blanks of `text` are spaces."""
    found = [
        phrase
        for pattern, read in _PATTERNS
        if (match := pattern.match(text, at)) and (phrase := _read(read, match)) is not None
    ]
    return max(found, key=lambda phrase: phrase.end, default=None)


def phrases(text: str) -> Iterator[Phrase]:
    """Yield the phrases of a text that consists of phrases only; stop at anything else."""
    at = 0
    while at < len(text):
        phrase = phrase_at(text, at)
        if phrase is None:
            return
        yield phrase
        at = phrase.end
        while text[at : at + 1] == " ":
            at += 1


# --- days ------------------------------------------------------------------------------------------------


def _read(read: Reader, match: re.Match[str]) -> Found:
    try:
        phrase = read(match)
    except (ValueError, OverflowError):
        return None  # For example the 30th of February, 25 o'clock.
    if phrase is None:
        return None
    introduced = match.groupdict().get("by")
    return replace(phrase, end=match.end(), strength="sure" if introduced else phrase.strength)


def _days(match: re.Match[str], day: Day, at: time | None = None, strength: Strength = "sure") -> Phrase:
    return Phrase(match.start(), match.end(), day, at, strength=strength)


def _time(match: re.Match[str], at: time, strength: Strength = "sure") -> Phrase:
    return Phrase(match.start(), match.end(), time=at, strength=strength)


def _later(days: int) -> Day:
    return lambda today: today + timedelta(days=days)


def _named_day(match: re.Match[str]) -> Found:
    name = match["name"].lower()
    offsets = {"today": 0, "tomorrow": 1, "yesterday": -1}
    if match["after"]:
        return _days(match, _later(2)) if name == "tomorrow" else None
    return _days(match, _later(offsets[name]), strength="bound" if name == "yesterday" else "sure")


def _short_day(match: re.Match[str]) -> Found:
    return _days(match, _later(0 if match["name"] == "tod" else 1), strength="weak")


def _weekday(match: re.Match[str]) -> Found:
    weekday, which = weekday_of(match["name"]), (match["which"] or "").strip().lower()
    strength: Strength = "sure" if which or match["name"].lower() in WEEKDAYS else "weak"
    if which == "next":
        return _days(match, lambda today: monday_of(today) + timedelta(days=7 + weekday))
    return _days(match, lambda today: next_weekday(today, weekday), strength=strength)


def _weekend(match: re.Match[str]) -> Found:
    weeks = 1 if match["which"].lower() == "next" else 0

    def saturday(today: date) -> date:
        found = monday_of(today) + timedelta(days=SATURDAY + 7 * weeks)
        return max(found, today)  # On a Sunday this weekend is today.

    return _days(match, saturday)


def _next_span(match: re.Match[str]) -> Found:
    starts: dict[str, Day] = {
        "week": lambda today: monday_of(today) + timedelta(days=7),
        "month": lambda today: in_months(today.replace(day=1), 1),
        "year": lambda today: date(today.year + 1, 1, 1),
    }
    return _days(match, starts[match["unit"].lower()])


def _end_of(match: re.Match[str]) -> Found:
    is_next = bool(match["next"])
    ends: dict[str, Day] = {
        "w": lambda today: monday_of(today) + timedelta(days=13 if is_next else 6),
        "m": lambda today: last_of_month(in_months(today.replace(day=1), int(is_next))),
        "y": lambda today: date(today.year + is_next, 12, 31),
    }
    return _days(match, ends[match["unit"][0].lower()])


def _end_in_short(match: re.Match[str]) -> Found:
    ends: dict[str, Day] = {
        "eow": lambda today: monday_of(today) + timedelta(days=6),
        "eom": last_of_month,
        "eoy": lambda today: date(today.year, 12, 31),
    }
    return _days(match, ends[match["name"].lower()], strength="weak")


def _in_days(match: re.Match[str]) -> Found:
    count, unit = number_of(match["count"]), match["unit"].lower()
    days = {"day": 1, "week": 7, "fortnight": 14}
    if unit in days:
        return _days(match, _later(count * days[unit]))
    return _days(match, lambda today: in_months(today, count * (12 if unit == "year" else 1)))


def _in_hours(match: re.Match[str]) -> Found:
    count, unit = number_of(match["count"]), match["unit"].lower()
    length = timedelta(hours=count) if unit.startswith("h") else timedelta(minutes=count)
    return Phrase(match.start(), match.end(), moment=lambda now: now + length)


def _month_day(match: re.Match[str]) -> Found:
    month, number = month_of(match["month"]), day_number(match["day"])
    if match["year"]:
        fixed = date(int(match["year"]), month, number)
        return _days(match, lambda _: fixed)
    return _days(match, yearly(month, number))


def _day_of_month(match: re.Match[str]) -> Found:
    number = day_number(match["day"])

    def coming(today: date) -> date:
        months = (in_months(today.replace(day=1), ahead) for ahead in range(LEAP_CYCLE_YEARS))
        return next(
            first.replace(day=number)
            for first in months
            if is_day(first, number) and first.replace(day=number) >= today
        )

    return _days(match, coming)


def _iso(match: re.Match[str]) -> Found:
    text = match["iso"].upper().replace(" ", "T").replace("/", "-")
    if len(text) == len("2026-12-01"):
        fixed = date.fromisoformat(text)
        return _days(match, lambda _: fixed)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return _days(match, lambda _: moment.date(), at=moment.time())
    return Phrase(match.start(), match.end(), moment=lambda _: moment)


def _slashes(match: re.Match[str]) -> Found:
    """Parse a date of two numbers, unless either can be the month; 24/7 is no date."""
    one, other, year = int(match["one"]), int(match["other"]), match["year"]
    if (one <= 12) == (other <= 12) or (one, other, year) == (24, 7, None):
        return None
    month, number = (one, other) if one <= 12 else (other, one)
    if year:
        fixed = date(int(year), month, number)
        return _days(match, lambda _: fixed)
    return _days(match, yearly(month, number), strength="weak")


def _dots(match: re.Match[str]) -> Found:
    fixed = date(int(match["year"]), int(match["month"]), int(match["day"]))
    return _days(match, lambda _: fixed)


# --- times of day ----------------------------------------------------------------------------------------


def _clock_12(match: re.Match[str]) -> Found:
    hour = int(match["hour"])
    if not 1 <= hour <= 12:
        return None
    afternoon = match["half"].lower() == "p"
    return _time(match, time(hour % 12 + 12 * afternoon, int(match["minute"] or 0)))


def _clock_24(match: re.Match[str]) -> Found:
    # `3:16` can be a verse, a score or a ratio; `17:00` hardly ever is.
    strength: Strength = "weak" if len(match["hour"]) == 1 else "sure"
    return _time(match, time(int(match["hour"]), int(match["minute"])), strength)


def _named_time(match: re.Match[str]) -> Found:
    return _time(match, TIMES_OF_DAY[match["name"].lower()], "bound")


def _this_part(match: re.Match[str]) -> Found:
    return _days(match, _later(0), TIMES_OF_DAY[match["name"].lower()])


_BY = r"(?P<by>(?:due )?(?:(?:on|by) )?)"
_ISO_TIME = r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
_AT = r"(?P<by>(?:at |by )?)"
_YEAR = r"(?:,? (?P<year>(?:19|2[0-9])[0-9]{2}))?"
_SOURCES: tuple[tuple[str, Reader], ...] = (
    (rf"{_BY}(?P<after>(?:the )?day after )?(?P<name>today|tomorrow|yesterday)", _named_day),
    # Capitalised it is a name: `call Tom`.
    (rf"{_BY}(?-i:(?P<name>tod|tom))", _short_day),
    (rf"{_BY}(?P<which>(?:this|next|coming) )?(?P<name>{WEEKDAY}|{SHORT_WEEKDAY})", _weekday),
    (rf"{_BY}(?P<which>this|next) weekend", _weekend),
    (rf"{_BY}next (?P<unit>week|month|year)", _next_span),
    (rf"{_BY}(?:the )?end of (?:the |this |(?P<next>next ))?(?P<unit>week|month|year)", _end_of),
    (rf"{_BY}(?P<name>eow|eom|eoy)", _end_in_short),
    (rf"(?:due )?in (?P<count>{NUMBER}) (?P<unit>day|week|fortnight|month|year)s?", _in_days),
    (rf"(?:due )?in (?P<count>{NUMBER}) ?(?P<unit>hour|hr|h|minute|min)s?", _in_hours),
    (rf"{_BY}(?P<month>{MONTH}) (?P<day>{DAY_OF_MONTH}){_YEAR}", _month_day),
    (rf"{_BY}(?:the )?(?P<day>{DAY_OF_MONTH})(?: of)? (?P<month>{MONTH}){_YEAR}", _month_day),
    (r"(?:due )?(?:on|by) the (?P<day>[0-9]{1,2}(?:st|nd|rd|th))", _day_of_month),
    (rf"{_BY}(?P<iso>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{_ISO_TIME})", _iso),
    (rf"{_BY}(?P<iso>[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}})", _iso),
    (rf"{_BY}(?P<one>[0-9]{{1,2}})/(?P<other>[0-9]{{1,2}})(?:/(?P<year>[0-9]{{4}}))?", _slashes),
    (rf"{_BY}(?P<day>[0-9]{{1,2}})\.(?P<month>[0-9]{{1,2}})\.(?P<year>[0-9]{{4}})", _dots),
    (rf"{_AT}(?P<hour>[0-9]{{1,2}})(?:[:.](?P<minute>[0-5][0-9]))? ?(?P<half>[ap])\.?m\.?", _clock_12),
    (rf"{_AT}(?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5][0-9])", _clock_24),
    (rf"{_AT}(?P<name>noon|midday|midnight)", _named_time),
    (r"(?:in the )?(?P<name>morning|afternoon|evening|night)", _named_time),
    (r"(?:this )?(?P<name>tonight|(?<=this )(?:morning|afternoon|evening))", _this_part),
)
_PATTERNS = tuple((re.compile(source + END, re.IGNORECASE | re.ASCII), read) for source, read in _SOURCES)
