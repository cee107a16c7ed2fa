"""Periods of validity, and the blocks of time that an index finds them by.

A block is an aligned interval of 2**level seconds. A period is in the smallest block that contains it. The
blocks that contain an instant are one of each level, so an index of blocks finds the periods that may contain
the instant by few keys. See "Managing Intervals Efficiently in Object-Relational Databases" (Kriegel, Pötke,
Seidl, 2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from projections.postgres.sql_parameters import Parameters

Clock = Literal["event", "recorded"]
"""The times by which a state is found: those of the events, or those at which the log recorded them."""

_LEVELS = 40
"""Seconds from year 1 to 9999 have 39 bits."""
_RECORDED = 1 << 47
"""The bit of the blocks of recorded times."""
_YEAR_1 = datetime(1, 1, 1, tzinfo=UTC)
_SECONDS_TO_1970 = 62_135_596_800
_COLUMNS: dict[Clock, tuple[str, str]] = {
    "event": ("since", "until"),
    "recorded": ("known_since", "known_until"),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A past time of one of the two clocks."""

    time: datetime
    clock: Clock = "event"

    def has_begun(self, parameters: Parameters) -> str:
        """Return the condition on a row `t` that its period has begun by then."""
        return f"t.{_COLUMNS[self.clock][0]} <= {parameters.add(self.time, 'timestamptz')}"

    def has_not_ended(self, parameters: Parameters) -> str:
        """Return the condition on a row `t` that its period had not ended by then."""
        return f"t.{_COLUMNS[self.clock][1]} > {parameters.add(self.time, 'timestamptz')}"

    @property
    def blocks(self) -> list[int]:
        """The blocks that contain this moment."""
        second = _second(self.time)
        return [_block(level, second, self.clock) for level in range(_LEVELS + 1)]


def blocks_of(
    since: datetime, until: datetime, known_since: datetime, known_until: datetime
) -> tuple[int, int]:
    """Return the blocks of a period by events and of one by recorded times."""
    return _smallest(since, until, "event"), _smallest(known_since, known_until, "recorded")


def _smallest(since: datetime, until: datetime, clock: Clock) -> int:
    first, last = _second(since), _second(until)
    return _block((first ^ last).bit_length(), first, clock)


def _second(time: datetime) -> int:
    passed = time - _YEAR_1
    return passed.days * 86_400 + passed.seconds


def _block(level: int, second: int, clock: Clock) -> int:
    return level << 40 | second >> level | (_RECORDED if clock == "recorded" else 0)


def blocks_sql(since: str, until: str, known_since: str, known_until: str) -> str:
    """Return the SQL of `blocks_of`."""
    return f"ARRAY[{_smallest_sql(since, until)}, {_RECORDED} | {_smallest_sql(known_since, known_until)}]"


def _smallest_sql(since: str, until: str) -> str:
    first, last = _second_sql(since), _second_sql(until)
    level = f"length(ltrim(({first} # {last})::bit({_LEVELS})::text, '0'))"
    return f"(({level}::bigint << 40) | ({first} >> {level}))"


def _second_sql(time: str) -> str:
    return f"(floor(extract(epoch FROM {time}))::bigint + {_SECONDS_TO_1970})"
