"""Dates, moments and durations as text."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic_core import to_json

from app.zones import UnknownZone, zone


def due_at(due: str, time_zone: str | None) -> datetime | None:
    """Return the instant at which a task is due: a date is due at the end of its day in `time_zone`.

    The zone is UTC if it is unset or unknown. Return None for a value that is neither a date nor a date-time,
    which only foreign records can contain.
    """
    return _instant(due, time_zone, time.max)


def due_from(due: str, time_zone: str | None) -> datetime | None:
    """Return the instant from which reminders before `due` are counted: for a date, the start of its day."""
    return _instant(due, time_zone, time.min)


def zone_of(name: str | None) -> ZoneInfo:
    """Return the time zone of this name, or UTC if it is unset or unknown."""
    try:
        return zone(name or "UTC")
    except UnknownZone:
        return zone("UTC")


def _instant(due: str, time_zone: str | None, time_of_day: time) -> datetime | None:
    try:
        if len(due) > 10:
            return datetime.fromisoformat(due).astimezone(UTC)
        return datetime.combine(date.fromisoformat(due), time_of_day, zone_of(time_zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


MOST_DAYS = 366
_DURATION = re.compile(
    r"^P(?:(?P<weeks>\d{1,4})W|(?:(?P<days>\d{1,4})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,8})S)?)?)$",
    re.ASCII | re.IGNORECASE,
)


def duration(text: str) -> timedelta:
    """Parse a duration of at most `MOST_DAYS` days. Raise `ValueError`."""
    found = _DURATION.match(text)
    parts = {name: int(value) for name, value in found.groupdict().items() if value} if found else {}
    if not parts:
        raise ValueError("must be a duration, such as PT30M, PT2H, P1D or P1W")
    length = timedelta(**parts)
    if length > timedelta(days=MOST_DAYS):
        raise ValueError(f"must be {MOST_DAYS} days or less")
    return length


def format_time(time: datetime) -> str:
    """Format a time as RFC 3339 in UTC, with microseconds."""
    in_utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    # Half the time that `isoformat` takes; it omits a fraction that is zero.
    text = to_json(in_utc)[1:-1].decode()
    return text if time.microsecond else f"{text[:-1]}.000000Z"
