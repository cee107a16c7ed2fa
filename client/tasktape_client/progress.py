"""The resume position of a reader, so that a new connection continues there and delivers no update twice.

The positions of a reply count once the updates that it announces have arrived. Until then, a new connection
begins at the last complete positions, and updates that arrived meanwhile are recognised by their positions. A
list that the user joins is delivered from its beginning, before the update of the join. Its updates
are remembered until that update arrives, because a connection lost in between delivers the list again.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_REMEMBERED = 100_000
"""The maximum of remembered updates. A server announces up to 10,000 for each channel."""


class Progress:
    """The resume positions; None before the first connection, unless some were given."""

    def __init__(self, positions: Mapping[str, int] | None = None) -> None:
        self.positions = None if positions is None else dict(positions)
        self._announced: dict[str, int] = {}
        self._delivered: dict[str, None] = {}
        self._missing = 0
        self._replies = 0

    def is_beyond(self, positions: Mapping[str, int]) -> bool:
        """Return True if the reader is beyond the positions of a server: then its log is another one."""
        return any(
            positions.get(partition, -1) < offset for partition, offset in (self.positions or {}).items()
        )

    def restart(self, positions: Mapping[str, int]) -> None:
        """Continue from other positions, with no delivered updates."""
        self.positions = dict(positions)
        self._delivered.clear()

    def begin(self, replies: int) -> None:
        """Begin a new connection, on which so many replies are expected."""
        self._announced, self._missing, self._replies = {}, 0, replies

    def expect(self, replies: int) -> None:
        """Expect more replies."""
        self._replies += replies

    @property
    def settled(self) -> bool:
        """Return True if all missed updates have arrived."""
        return self._missing == 0 and self._replies == 0

    def reply(self, positions: Mapping[str, int], missed: int, *, expected: bool = True) -> None:
        """Handle a reply that grants a channel. `missed` updates follow it."""
        if self.positions is None:
            self.positions = dict(positions)
        self._replies -= expected
        self._missing += missed
        _advance(self._announced, positions)
        self._settle()

    def refused(self) -> None:
        """Handle a reply that refuses a channel."""
        self._replies -= 1
        self._settle()

    def update(self, position: str) -> bool:
        """Handle an update. Return False if it was delivered before."""
        if self.settled:
            assert self.positions is not None
            self._delivered.clear()
            _advance(self.positions, _single(position))
            return True
        known = position in self._delivered
        self._delivered[position] = None
        if len(self._delivered) > MAX_REMEMBERED:
            del self._delivered[next(iter(self._delivered))]
        _advance(self._announced, _single(position))
        if self._missing:
            self._missing -= 1
            self._settle()
        return not known

    def _settle(self) -> None:
        if self.settled:
            assert self.positions is not None
            _advance(self.positions, self._announced)
            self._announced = {}


def _single(position: str) -> dict[str, int]:
    partition, _, offset = position.partition(":")
    return {partition: int(offset)}


def _advance(positions: dict[str, int], further: Mapping[str, int]) -> None:
    for partition, offset in further.items():
        positions[partition] = max(offset, positions.get(partition, -1))
