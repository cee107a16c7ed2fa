"""How far a listener is, so that a new connection goes on from there and nothing is told twice.

The positions of a reply count once the updates that it announces have come: until then a new connection
begins where the last complete one was, and what came meanwhile is known by its position. A list that one
joins is told from its beginning, before the update that one joined with; what is known of it is kept until
that update has come, because a connection that breaks in between has the list told again.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_REMEMBERED = 100_000
"""Updates that are known by their position at most; a server announces 10,000 for each channel."""


class Progress:
    """The positions to come back to; None before the first connection, unless some were given."""

    def __init__(self, positions: Mapping[str, int] | None = None) -> None:
        self.positions = None if positions is None else dict(positions)
        self._announced: dict[str, int] = {}
        self._told: dict[str, None] = {}
        self._missing = 0
        self._replies = 0

    def is_beyond(self, positions: Mapping[str, int]) -> bool:
        """Whether one is further than a server says one is: then its log is another one."""
        return any(
            positions.get(partition, -1) < offset for partition, offset in (self.positions or {}).items()
        )

    def restart(self, positions: Mapping[str, int]) -> None:
        """Go on from other positions, with nothing told before."""
        self.positions = dict(positions)
        self._told.clear()

    def begin(self, replies: int) -> None:
        """Begin with a new connection, which so many replies are expected on."""
        self._announced, self._missing, self._replies = {}, 0, replies

    def expect(self, replies: int) -> None:
        """Expect more replies."""
        self._replies += replies

    @property
    def settled(self) -> bool:
        """Whether all that was missed has come."""
        return self._missing == 0 and self._replies == 0

    def reply(self, positions: Mapping[str, int], missed: int, *, expected: bool = True) -> None:
        """Take a reply that gives a channel; `missed` updates follow it."""
        if self.positions is None:
            self.positions = dict(positions)
        self._replies -= expected
        self._missing += missed
        _advance(self._announced, positions)
        self._settle()

    def refused(self) -> None:
        """Take a reply that gives nothing."""
        self._replies -= 1
        self._settle()

    def update(self, position: str) -> bool:
        """Take an update; False if it has been told before."""
        if self.settled:
            assert self.positions is not None
            self._told.clear()
            _advance(self.positions, _single(position))
            return True
        known = position in self._told
        self._told[position] = None
        if len(self._told) > MAX_REMEMBERED:
            del self._told[next(iter(self._told))]
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
