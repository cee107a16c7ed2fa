"""Times as text."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.dates import format_time

TIMES = st.datetimes(timezones=st.just(UTC))


@given(TIMES | TIMES.map(lambda time: time.replace(microsecond=0)))
def test_times_have_six_digits_of_a_second(time: datetime) -> None:
    assert format_time(time) == time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
