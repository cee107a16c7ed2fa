"""The newest updates of this node, in the order they came: what a socket in recovery goes on from."""

from __future__ import annotations

from collections.abc import Iterator

from app.updates import Update


class Overrun(Exception):
    """The ring no longer reaches back that far."""


class Ring:
    """A bounded memory of updates, numbered from 0 in the order they were published here."""

    def __init__(self, *, max_updates: int = 8_192, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._slots: list[Update | None] = [None] * max_updates
        self._max_bytes = max_bytes
        self._size = 0
        self._first = 0
        self.end = 0
        """The number that the next update will get."""

    def append(self, update: Update) -> None:
        """Remember an update, and forget the oldest ones beyond the bounds."""
        if self.end - self._first == len(self._slots):
            self._forget()
        self._slots[self.end % len(self._slots)] = update
        self.end += 1
        self._size += len(update.value)
        while self._size > self._max_bytes:
            self._forget()

    def _forget(self) -> None:
        index = self._first % len(self._slots)
        oldest = self._slots[index]
        assert oldest is not None
        self._slots[index] = None
        self._size -= len(oldest.value)
        self._first += 1

    def read(self, first: int, limit: int) -> Iterator[Update]:
        """At most `limit` updates from number `first` on. Raises `Overrun`."""
        if first < self._first:
            raise Overrun
        for number in range(first, min(self.end, first + limit)):
            update = self._slots[number % len(self._slots)]
            assert update is not None
            yield update
