"""The time zone of this machine, by its name."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

LOCALTIME = Path("/etc/localtime")


def local_zone(environment: str | None = None, localtime: Path = LOCALTIME) -> str | None:
    """The name that the IANA database has for it; None if it can't be told. `TZ` comes first."""
    given = os.environ.get("TZ") if environment is None else environment
    name = (given or str(localtime.resolve())).rpartition("zoneinfo/")[2].lstrip(":")
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, KeyError):
        return None
