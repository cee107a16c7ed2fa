"""Time zones: those of the database, independent of the machine."""

from __future__ import annotations

from datetime import datetime

import pytest

from app.zones import UnknownZone, zone, zone_names


@pytest.mark.parametrize(
    "name",
    [
        *("localtime", "posixrules", "Factory", "right/Europe/Madrid", "posix/Europe/Madrid", "Etc/Unknown"),
        *(
            "../etc/passwd",
            "/etc/localtime",
            "Europe/../Europe/Madrid",
            "europe/madrid",
            "EUROPE/MADRID",
            "utc",
        ),
        *("", " UTC", "UTC ", "Europe", "Europe/", "zone.tab", "tzdata.zi", "UTC\0", "\ud800", "x" * 10_000),
    ],
)
def test_unknown_zone_is_refused(name: str) -> None:
    """Also names that mean another zone on each machine, and in capitals that the database does not have."""
    with pytest.raises(UnknownZone):
        zone(name)


def test_all_zones_of_the_database_are_valid() -> None:
    """Old names too."""
    assert {"UTC", "Europe/Madrid", "Asia/Calcutta", "Asia/Kolkata", "US/Pacific", "EST5EDT"} <= zone_names()
    for name in zone_names():
        assert zone(name).key == name
    assert datetime(2026, 7, 1, 9, tzinfo=zone("Europe/Madrid")).isoformat() == "2026-07-01T09:00:00+02:00"
