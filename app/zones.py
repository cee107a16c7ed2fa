"""Time zones: those of the IANA database in the pinned package `tzdata`, the same on every machine.

The machine's own files are not used: they may be older, lack some zones, or have names such as `localtime`
and `posixrules`, whose meaning differs by machine.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

NO_ZONES = frozenset({"Factory"})
"""Names in the database that are no places: a clock that was never set."""


class UnknownZone(ValueError):
    """Error for a name that is not in the database."""


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones, in the only case that is valid."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="ascii").split()) - NO_ZONES


def zone(name: str) -> ZoneInfo:
    """Return the time zone of this name. Raise `UnknownZone`."""
    if name not in zone_names():
        raise UnknownZone("must be a time zone of the IANA database, such as Europe/Madrid")
    return _loaded(name)


@cache
def _loaded(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
