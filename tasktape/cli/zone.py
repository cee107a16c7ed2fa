"""Time zones: that of this machine, by its name, and local times of day."""

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
    """Return the machine's zone by its IANA name; None if it is unknown. `TZ` takes precedence."""
    given = os.environ.get("TZ") if environment is None else environment
    name = (given or str(localtime.resolve())).rpartition("zoneinfo/")[2].lstrip(":")
    for folder in ("posix/", "right/"):  # the same zones once more, without leap seconds and with them
        name = name.removeprefix(folder)
    try:
        return zone(name).key
    except UnknownZone:
        return None


def is_local(text: str) -> bool:
    """Return whether it is a date-time without an offset."""
    try:
        return len(text) > DATE_LENGTH and datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


def with_offset(text: str, zone_name: str | None) -> str:
    """Return a local date-time with its offset in a zone; return any other value unchanged.

    A time that the clocks skip has the offset from before. A time that occurs twice means the first one.
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
    """Return a date or a date-time for the API from any notation, such as `tomorrow 5pm`.

    Times without an offset are in `zone`. Raise `click.BadParameter`.
    """
    if _is_moment(text):
        return with_offset(text, zone)
    try:
        return read_due(text, datetime.now(UTC), zone_of(zone))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def has_offset(text: str) -> bool:
    """Return whether it is a date-time with an offset."""
    return _is_moment(text) and not is_local(text)


def _is_moment(text: str) -> bool:
    try:
        return len(text) > DATE_LENGTH and bool(datetime.fromisoformat(text))
    except ValueError:
        return False
