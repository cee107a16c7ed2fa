"""Batches of tasks for the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import orjson

from tasktape.importers.histories import Event

BATCH_BYTES = 256 * 1024
"""Small enough for every server's limit of a body, and for answers that do not keep others waiting."""
BATCH_TASKS = 200


class Parcel(NamedTuple):
    """A task as it is sent, with its place in the file."""

    trace: str
    line: int
    json: bytes


def parcel(trace: str, line: int, nth: int, events: list[Event]) -> Parcel:
    """Return a parcel with a task's history."""
    return Parcel(trace, line, orjson.dumps({"key": trace, "nth": nth, "events": events}))


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks that are sent together."""

    parcels: tuple[Parcel, ...]

    def halves(self) -> tuple[Batch, Batch]:
        """Return the same tasks as two batches."""
        middle = len(self.parcels) // 2
        return Batch(self.parcels[:middle]), Batch(self.parcels[middle:])

    def without(self, indexes: set[int]) -> Batch:
        """Return the batch without some of its tasks."""
        kept = (each for index, each in enumerate(self.parcels) if index not in indexes)
        return Batch(tuple(kept))


class Batches:
    """A collector of parcels that makes full batches."""

    def __init__(self) -> None:
        self._parcels: list[Parcel] = []
        self._size = 0

    def add(self, item: Parcel) -> Batch | None:
        """Add a parcel; return the batch if that fills one."""
        full = self.take() if self._size + len(item.json) > BATCH_BYTES else None
        self._parcels.append(item)
        self._size += len(item.json)
        if full is None and len(self._parcels) >= BATCH_TASKS:
            return self.take()
        return full

    def take(self) -> Batch | None:
        """Return the parcels that are left as a batch, if there are any."""
        parcels, self._parcels, self._size = self._parcels, [], 0
        return Batch(tuple(parcels)) if parcels else None
