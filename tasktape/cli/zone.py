"""Time zones: that of this machine, by its name, and times of day as they are told there."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from app.recurrence import DATE_LENGTH
from app.zones import UnknownZone, zone

LOCALTIME = Path("/etc/localtime")


def local_zone(environment: str | None = None, localtime: Path = LOCALTIME) -> str | None:
    """The name that the IANA database has for it; None if it can't be told. `TZ` comes first."""
    given = os.environ.get("TZ") if environment is None else environment
    name = (given or str(localtime.resolve())).rpartition("zoneinfo/")[2].lstrip(":")
    for folder in ("posix/", "right/"):  # the same zones once more, without leap seconds and with them
        name = name.removeprefix(folder)
    try:
        return zone(name).key
    except UnknownZone:
        return None


def is_local(text: str) -> bool:
    """Whether it is a date-time without an offset, as people tell the time."""
    try:
        return len(text) > DATE_LENGTH and datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


def with_offset(text: str, zone_name: str | None) -> str:
    """A local date-time with the offset that it has in a zone; anything else as it is.

    A time that the clocks jump over has the offset from before, and one that comes twice is its first.
    """
    try:
        return (
            datetime.fromisoformat(text).replace(tzinfo=zone(zone_name or "")).isoformat()
            if is_local(text)
            else text
        )
    except ValueError:
        return text  # The server says what is wrong with it.
