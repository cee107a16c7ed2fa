"""Periods of validity, and the blocks of time that an index finds them by.

A block is an aligned interval of 2**level seconds. A period is covered by two blocks: the smallest block that
contains it is halved, and in each half the smallest block at the middle is taken. Each is less than twice as
long as what it covers. The blocks that contain an instant are one of each level, so an index of blocks finds
the periods that may contain the instant by few keys, and at least about half of those that it finds do. See
"Managing Intervals Efficiently in Object-Relational Databases" (Kriegel, Pötke, Seidl, 2000).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from projections.postgres.sql_parameters import Parameters

Clock = Literal["event", "recorded"]
"""The times by which a state is found: those of the events, or those at which the log recorded them."""

LEVELS = 40
"""Seconds from year 1 to 9999 have 39 bits."""
RECORDED = 1 << 47
"""The bit of the blocks of recorded times."""
_YEAR_1 = datetime(1, 1, 1, tzinfo=UTC)
PERIODS: Mapping[Clock, tuple[str, str]] = {
    "event": ("since", "until"),
    "recorded": ("known_since", "known_until"),
}
"""The columns of the beginning and the end of a period of each clock."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A past time of one of the two clocks."""

    time: datetime
    clock: Clock = "event"

    def has_begun(self, parameters: Parameters) -> str:
        """Return the condition on a row `t` that its period has begun by then."""
        return f"t.{PERIODS[self.clock][0]} <= {parameters.add(self.time, 'timestamptz')}"

    def has_not_ended(self, parameters: Parameters) -> str:
        """Return the condition on a row `t` that its period had not ended by then."""
        return f"t.{PERIODS[self.clock][1]} > {parameters.add(self.time, 'timestamptz')}"

    @property
    def blocks(self) -> list[int]:
        """The blocks that contain this moment."""
        second = _second(self.time)
        return [_block(level, second, self.clock) for level in range(LEVELS + 1)]


def blocks_of(
    since: datetime, until: datetime, known_since: datetime, known_until: datetime
) -> Sequence[int]:
    """Return the blocks of a period by events and of one by recorded times; none of those that are empty."""
    return [*_cover(since, until, "event"), *_cover(known_since, known_until, "recorded")]


def _cover(since: datetime, until: datetime, clock: Clock) -> Iterator[int]:
    first, last = _second(since), _second(until)
    if first > last:
        return
    if first == last:
        yield _block(0, first, clock)
        return
    half = (first ^ last).bit_length() - 1
    middle = last >> half << half
    yield _block((middle - 1 - first).bit_length(), middle - 1, clock)
    yield _block((last - middle).bit_length(), middle, clock)


def _second(time: datetime) -> int:
    passed = time - _YEAR_1
    return passed.days * 86_400 + passed.seconds


def _block(level: int, second: int, clock: Clock) -> int:
    return level << 40 | second >> level | (RECORDED if clock == "recorded" else 0)
