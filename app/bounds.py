"""Bounds on the content of an event, checked when a record is decoded.

They are wider than the bounds of commands, because other programs can write to the log too. Every record
within the bounds fits every table, every index and one message of `task-updates`, so an accepted record can
always be published. A record outside of them is parked by every process that folds the log. The result of the
check depends only on the record.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

MAX_EVENT_BYTES = 512 * 1024
"""Bytes of an event's JSON, after decompression."""
MAX_UPDATE_BYTES = 7 * 1024 * 1024
"""Bytes of the JSON of an update: an event, its changes and the state after it.

Within the bounds of this module no update is that large.
"""
MAX_MEMBERS = 2_000
"""Members of a list; commands stop at half of it."""
MAX_NUMBER = 2**53
"""The largest version: larger JSON numbers are not exact everywhere."""
MAX_EVENT_ID_CHARS = 256
MAX_USER_NAME_CHARS = 200

T = TypeVar("T")


def _utc(time: datetime) -> datetime:
    # Read models return times in UTC. With this a state is the same whether it is loaded or folded.
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time that exists in UTC") from None


# Two ids and a rank, or two ids and a text, share an index whose rows have 2,704 bytes at most.
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
MAX_INTEGER = 2**31 - 1
"""The largest number of a column of 32 bits."""
Few = Annotated[tuple[T, ...], Field(max_length=200)]
Many = Annotated[tuple[T, ...], Field(max_length=10_000)]
"""The users who are notified, or the notifications that a user has read."""
