"""Bounds of what an event may hold, checked when a record is decoded.

They are wider than those of commands, as the log takes what others write. But whatever keeps them fits every
table, every index and one message of `task-updates`, so that no record is accepted that cannot be told. A
record that breaks one is parked, by whoever folds the log: the bounds depend on nothing but the record.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

MAX_EVENT_BYTES = 512 * 1024
"""Bytes of an event's JSON, after decompression."""
MAX_UPDATE_BYTES = 7 * 1024 * 1024
"""Bytes of the JSON of an update: an event, its changes and the state after it. Within the bounds of this
module none is so large."""
MAX_MEMBERS = 2_000
"""Members of a list; commands stop at half of that."""
MAX_NUMBER = 2**53
"""The largest version: beyond it JSON's numbers are not exact everywhere."""
MAX_EVENT_ID_CHARS = 256
MAX_USER_NAME_CHARS = 200

T = TypeVar("T")


def _utc(time: datetime) -> datetime:
    # A read model gives times back in UTC: so a state is the same, whether it was loaded or folded.
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time that can be told in UTC") from None


# Two ids and a rank, or two ids and a text, are in one index, whose rows have 2,704 bytes at most.
Id = Annotated[str, StringConstraints(max_length=128)]
UserName = Annotated[str, StringConstraints(max_length=MAX_USER_NAME_CHARS)]
Rank = Annotated[str, StringConstraints(pattern=r"^[ -~]{0,1000}$")]
Label = Annotated[str, StringConstraints(max_length=256)]
Title = Annotated[str, StringConstraints(max_length=2_000)]
Text = Annotated[str, StringConstraints(max_length=100_000)]
Rule = Annotated[str, StringConstraints(max_length=2_000)]
Moment = Annotated[str, StringConstraints(max_length=100)]
"""A date, a date-time, a duration or a time zone, as text."""
Instant = Annotated[AwareDatetime, AfterValidator(_utc)]
Number = Annotated[int, Field(ge=0, le=MAX_NUMBER)]
Few = Annotated[tuple[T, ...], Field(max_length=200)]
Many = Annotated[tuple[T, ...], Field(max_length=10_000)]
"""Those who are told, or what they have read."""
