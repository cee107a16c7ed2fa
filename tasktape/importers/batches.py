"""Tasks on their way to the server, some at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import orjson

from tasktape.importers.histories import Event

BATCH_BYTES = 256 * 1024
"""Small enough for every server's limit of a body, and for answers that do not keep others waiting."""
BATCH_TASKS = 200


class Parcel(NamedTuple):
    """A task as it is sent, with where it comes from."""

    trace: str
    line: int
    json: bytes


def parcel(trace: str, line: int, nth: int, events: list[Event]) -> Parcel:
    """Make a parcel of a task's history."""
    return Parcel(trace, line, orjson.dumps({"key": trace, "nth": nth, "events": events}))


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks that are sent together."""

    parcels: tuple[Parcel, ...]

    def halves(self) -> tuple[Batch, Batch]:
        """The same tasks in two batches."""
        middle = len(self.parcels) // 2
        return Batch(self.parcels[:middle]), Batch(self.parcels[middle:])

    def without(self, indexes: set[int]) -> Batch:
        """The tasks but some."""
        kept = (each for index, each in enumerate(self.parcels) if index not in indexes)
        return Batch(tuple(kept))


class Batches:
    """Gathers parcels until there are enough for a batch."""

    def __init__(self) -> None:
        self._parcels: list[Parcel] = []
        self._size = 0

    def add(self, item: Parcel) -> Batch | None:
        """Add one; the batch that is full, if that fills one."""
        full = self.take() if self._size + len(item.json) > BATCH_BYTES else None
        self._parcels.append(item)
        self._size += len(item.json)
        if full is None and len(self._parcels) >= BATCH_TASKS:
            return self.take()
        return full

    def take(self) -> Batch | None:
        """What has been gathered since, if anything."""
        parcels, self._parcels, self._size = self._parcels, [], 0
        return Batch(tuple(parcels)) if parcels else None
