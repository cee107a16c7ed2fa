"""The English words of dates, as patterns, with their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SATURDAY = 5
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TIMES_OF_DAY: Mapping[str, time] = {
    "morning": time(9),
    "afternoon": time(14),
    "evening": time(18),
    "night": time(20),
    "tonight": time(20),
    "noon": time(12),
    "midday": time(12),
    "midnight": time(0),
}


NUMBER = rf"(?:[0-9]{{1,4}}|an?|{'|'.join(NUMBERS)})"
WEEKDAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
SHORT_WEEKDAY = r"(?:mon|tues?|wed|thu(?:rs?)?|fri|sat|sun)"
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
DAY_OF_MONTH = r"(?:[0-9]{1,2})(?:st|nd|rd|th)?"


def number_of(text: str) -> int:
    """Return the number that `NUMBER` matched."""
    word = text.lower()
    if word.isdigit():
        return int(word)
    return 1 if word in {"a", "an"} else NUMBERS.index(word) + 1


def weekday_of(text: str) -> int:
    """Return the number of a weekday, 0 for Monday."""
    return next(index for index, name in enumerate(WEEKDAYS) if name.startswith(text.lower()[:3]))


def month_of(text: str) -> int:
    """Return the number of a month, 1 for January."""
    return next(index for index, name in enumerate(MONTHS, 1) if name.startswith(text.lower()[:3]))


def day_number(text: str) -> int:
    """Return the number in `DAY_OF_MONTH`. Raise `ValueError` if no month has such a day."""
    number = int(re.sub("[a-z]", "", text.lower()))
    if not 1 <= number <= 31:
        raise ValueError(text)
    return number
