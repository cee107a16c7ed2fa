"""Past times as options of the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TypedDict

import click

from app.dates import zone_of
from app.natural_dates.due import moment_of
from tasktape.cli.zone import due_given, local_zone

EXAMPLES = "now, yesterday, 3 days ago, 2026-12-01, 2026-12-01T09:00"

_AGO = re.compile(r"(\d{1,6}) (minute|hour|day|week)s? ago\Z")
_DAYS_AGO = {"today": 0, "yesterday": 1}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]")


class PastTime(TypedDict):
    """The times of both options, of which one may be given."""

    as_of: str | None
    as_recorded_at: str | None


def moments_given(as_of: str | None, as_recorded_at: str | None) -> PastTime:
    """Return the times of both options for the API. Raise `click.UsageError` if both are given."""
    if as_of is not None and as_recorded_at is not None:
        raise click.UsageError("give --as-of or --as-recorded-at, not both")
    return {
        "as_of": None if as_of is None else time_given(as_of, "--as-of"),
        "as_recorded_at": None if as_recorded_at is None else time_given(as_recorded_at, "--as-recorded-at"),
    }


def moment_given(as_of: str | None, as_recorded_at: str | None) -> PastTime:
    """Return the times of both options for the API. Raise `click.UsageError` unless one is given."""
    if as_of is None and as_recorded_at is None:
        raise click.UsageError("Missing option '--as-of' or '--as-recorded-at'.")
    return moments_given(as_of, as_recorded_at)


def time_given(text: str, option: str, *, now: datetime | None = None, zone: str | None = None) -> str:
    """Return a past time for the API. A day means its beginning. Raise `click.BadParameter`."""
    moment, zone = now or datetime.now(UTC), zone or local_zone()
    text = text.strip()
    try:
        if text.lower() == "now":
            return moment.isoformat()
        if (ago := _AGO.match(text.lower())) is not None:
            return (moment - timedelta(**{f"{ago[2]}s": int(ago[1])})).isoformat()
        if text.lower() in _DAYS_AGO:
            day = moment.astimezone(zone_of(zone)).date() - timedelta(days=_DAYS_AGO[text.lower()])
            return _beginning(day.isoformat(), zone)
        if _DATE.match(text):
            return _beginning(text, zone)
        if _TIME.match(text):
            return due_given(datetime.fromisoformat(text).isoformat(), zone, option)
    except (ValueError, OverflowError):
        pass
    raise click.BadParameter(f"{text!r} is no past time, such as {EXAMPLES}", param_hint=option)


def _beginning(day: str, zone: str | None) -> str:
    return moment_of(datetime.fromisoformat(day).date(), datetime.min.time(), zone_of(zone)).isoformat()
