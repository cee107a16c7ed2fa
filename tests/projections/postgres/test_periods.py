"""Blocks of periods, by Python and by SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.postgres.database import asyncpg_dsn
from projections.postgres.periods import Moment, blocks_of, blocks_sql
from tests.thoroughness import examples

times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
lengths = st.timedeltas(timedelta(0), timedelta(days=40_000))


@given(since=times, length=lengths, share=st.floats(0, 1))
def test_moment_in_a_period_is_in_its_block(since: datetime, length: timedelta, share: float) -> None:
    until = min(since + length, datetime.max.replace(tzinfo=UTC)) if since.year < 9800 else since
    event, recorded = blocks_of(since, until, since, until)
    moment = since + (until - since) * share
    assert event in Moment(moment).blocks
    assert recorded in Moment(moment, "recorded").blocks
    assert event != recorded


@given(periods=st.lists(st.tuples(times, times, times, times), min_size=1))
@settings(max_examples=examples(20), deadline=None)
async def test_postgres_makes_the_same_blocks(
    database_url: str, periods: list[tuple[datetime, datetime, datetime, datetime]]
) -> None:
    """Also of periods that end before they begin."""
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    rows = await connection.fetch(
        f"SELECT {blocks_sql('a', 'b', 'c', 'd')} AS blocks FROM unnest($1::timestamptz[], $2::timestamptz[],"
        " $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY AS p(a, b, c, d, n) ORDER BY n",
        *map(list, zip(*periods, strict=True)),
    )
    await connection.close()
    assert [tuple(row["blocks"]) for row in rows] == [blocks_of(*each) for each in periods]
