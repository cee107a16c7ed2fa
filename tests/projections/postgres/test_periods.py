"""Blocks of periods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from projections.postgres.periods import Moment, blocks_of

times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
lengths = st.one_of(
    st.timedeltas(timedelta(0), timedelta(seconds=9)), st.timedeltas(timedelta(0), timedelta(days=40_000))
)


@given(since=times, length=lengths, share=st.floats(0, 1))
def test_moment_in_a_period_is_in_one_of_its_blocks(since: datetime, length: timedelta, share: float) -> None:
    """Of its own clock."""
    until = since + min(length, datetime.max.replace(tzinfo=UTC) - since)
    moment = since + (until - since) * share
    blocks = set(blocks_of(since, until, until, since - timedelta(0)))
    event, recorded = Moment(moment), Moment(moment, "recorded")
    assert blocks & set(event.blocks)
    assert set(blocks_of(until, since, since, until)) & set(recorded.blocks)
    assert not set(event.blocks) & set(recorded.blocks)


@given(since=times, length=lengths)
def test_blocks_are_less_than_twice_as_long_as_the_period(since: datetime, length: timedelta) -> None:
    """Counted in whole seconds; periods that end before they begin have none."""
    until = since + min(length, datetime.max.replace(tzinfo=UTC) - since)
    covered = sum(2 ** (block >> 40) for block in blocks_of(since, until, since, until)[::1]) / 2
    blocks = blocks_of(since, until, datetime(2, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC))
    assert len(blocks) in (1, 2)
    seconds = int((until.replace(microsecond=0) - since.replace(microsecond=0)).total_seconds()) + 1
    assert sum(2 ** (block >> 40) for block in blocks) < 2 * seconds
    assert covered
