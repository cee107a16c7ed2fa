"""Time zones: those of the IANA database, as the pinned package `tzdata` has it, the same on every machine.

The files of the machine are not asked: they may be older, lack some, or have names such as `localtime` and
`posixrules`, which mean another zone on each.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

NO_ZONES = frozenset({"Factory"})
"""Names of the database that stand for no place: a clock that was never set."""


class UnknownZone(ValueError):
    """Nothing in the database has this name."""


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones, in the only case that they are written in."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="ascii").split()) - NO_ZONES


def zone(name: str) -> ZoneInfo:
    """Return the time zone of this name. Raises `UnknownZone`."""
    if name not in zone_names():
        raise UnknownZone("must be a time zone of the IANA database, such as Europe/Madrid")
    return _loaded(name)


@cache
def _loaded(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
