"""Time zones: that of this machine, by its name, and times of day as they are told there."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from app.dates import zone_of
from app.natural_dates.due import read_due
from app.recurrence.next_date import DATE_LENGTH
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


def due_given(text: str, zone: str | None, option: str) -> str:
    """Return a date or a date-time as the API takes it, however people write it, as in `tomorrow 5pm`.

    Times without an offset are of `zone`. Raises `click.BadParameter`.
    """
    if _is_moment(text):
        return with_offset(text, zone)
    try:
        return read_due(text, datetime.now(UTC), zone_of(zone))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def has_offset(text: str) -> bool:
    """Return whether it is a date-time that says its offset itself."""
    return _is_moment(text) and not is_local(text)


def _is_moment(text: str) -> bool:
    try:
        return len(text) > DATE_LENGTH and bool(datetime.fromisoformat(text))
    except ValueError:
        return False
