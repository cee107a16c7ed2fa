"""What a due date means in time: a date lasts until its day ends in its time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from app.zones import UnknownZone, zone


def due_at(due: str, time_zone: str | None) -> datetime | None:
    """The instant that `due` means: a date is due when its day ends in `time_zone` (UTC if unset or unknown).

    None for what is neither a date nor a date-time, which only foreign records can hold.
    """
    return _instant(due, time_zone, time.max)


def due_from(due: str, time_zone: str | None) -> datetime | None:
    """The instant from which reminders before `due` are counted: of a date, the beginning of its day."""
    return _instant(due, time_zone, time.min)


def zone_of(name: str | None) -> ZoneInfo:
    """Return the time zone of this name, UTC if it is unset or unknown."""
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
