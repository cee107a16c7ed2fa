"""The one form of every time that leaves us."""

from __future__ import annotations

from datetime import UTC, datetime


def format_time(time: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
