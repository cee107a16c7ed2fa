"""The times from which events count, if the clock went back within a stream.

A stream's state as of a time is that of its newest event up to then. So an event whose successor has an
earlier time counts from that time on, and in the order of these times a stream's versions ascend.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from app.log.fold import Folded
from app.tasks.state import Task


class Successor(NamedTuple):
    """An event with an earlier time than events before it: those of the versions from `first` on."""

    stream: str
    first: int
    version: int
    time: datetime


def successors_in(batch: Iterable[Folded]) -> list[Successor]:
    """Return the events of a batch that give others their times.

    Each version of a stream is in the range of one event at most, so that many events cost no more than one.
    """
    found: list[Successor] = []
    for stream, version, time in sorted(filter(None, map(_earlier, batch))):
        first = 0
        while found and found[-1].stream == stream and found[-1].time >= time:
            found.pop()
        if found and found[-1].stream == stream:
            first = found[-1].version
        found.append(Successor(stream, first, version, time))
    return found


def _earlier(folded: Folded) -> tuple[str, int, datetime] | None:
    """Return the stream, version and time of an event whose time may be before that of its predecessor."""
    record, before = folded.record, folded.before
    if record is None or before is None or folded.outcome != "accepted":
        return None
    # Reminders leave `updated_at` unchanged.
    is_reminded = isinstance(before, Task) and before.reminded
    if record.time >= before.updated_at and not is_reminded:
        return None
    return record.stream, record.version, record.time
