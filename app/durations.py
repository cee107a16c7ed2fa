"""Durations as ISO 8601 and RFC 5545 write them: `PT30M`, `P1D`, `P1W`."""

from __future__ import annotations

import re
from datetime import timedelta

MOST_DAYS = 366
_DURATION = re.compile(
    r"^P(?:(?P<weeks>\d{1,4})W|(?:(?P<days>\d{1,4})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,8})S)?)?)$",
    re.ASCII | re.IGNORECASE,
)


def duration(text: str) -> timedelta:
    """Read a duration of at most `MOST_DAYS` days. Raises `ValueError`."""
    found = _DURATION.match(text)
    parts = {name: int(value) for name, value in found.groupdict().items() if value} if found else {}
    if not parts:
        raise ValueError("must be a duration, such as PT30M, PT2H, P1D or P1W")
    length = timedelta(**parts)
    if length > timedelta(days=MOST_DAYS):
        raise ValueError(f"must be {MOST_DAYS} days or less")
    return length
