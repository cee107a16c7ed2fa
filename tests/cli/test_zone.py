"""Local times without an offset."""

from __future__ import annotations

import pytest

from tasktape.cli.zone import is_local, with_offset


@pytest.mark.parametrize(
    ("text", "zone", "meant"),
    [
        ("2026-12-01T09:00", "Europe/Madrid", "2026-12-01T09:00:00+01:00"),
        ("2026-07-01 09:00", "America/New_York", "2026-07-01T09:00:00-04:00"),
        ("2026-03-29T02:30", "Europe/Madrid", "2026-03-29T02:30:00+01:00"),
        ("2026-10-25T02:30", "Europe/Madrid", "2026-10-25T02:30:00+02:00"),
        ("2026-12-01T09:00", "Mars/Olympus", "2026-12-01T09:00"),
        ("2026-12-01T09:00", None, "2026-12-01T09:00"),
    ],
)
def test_local_times_get_the_offset_of_their_zone(text: str, zone: str | None, meant: str) -> None:
    """On their day; without a zone they stay, for the server to refuse."""
    assert is_local(text)
    assert with_offset(text, zone) == meant


@pytest.mark.parametrize(
    "text", ["2026-12-01", "2026-12-01T09:00:00Z", "2026-12-01T09:00+05:30", "30m", "soon", ""]
)
def test_other_values_are_unchanged(text: str) -> None:
    """Dates, times with an offset, and invalid ones."""
    assert not is_local(text)
    assert with_offset(text, "Europe/Madrid") == text
