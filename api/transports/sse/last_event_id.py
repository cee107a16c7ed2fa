"""The resume cursor: the positions that a client of an event stream has reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.positions import Position, Positions, format_positions, positions_from_json


class ResumeCursor:
    """Follows the messages of one stream; its value after a message is the position to resume from after it.

    Missed updates advance it one by one. Only while a list is sent from its beginning it waits for the end:
    the list's past lies before the positions that the client had reached.
    """

    def __init__(self, since: Positions | None) -> None:
        self._known = since is not None
        self._reached = dict(since or {})
        self._missed = 0
        self._whole = False
        self._announced: dict[int, int] = {}

    def __str__(self) -> str:
        # Browsers treat an empty id as none.
        return format_positions(self._reached) or ","

    def begin(self, message: Mapping[str, Any], *, whole: bool) -> None:
        """Record a reply that announces missed updates, and the positions after them."""
        self._missed, self._whole = message["missed"], whole
        self._announced = positions_from_json(message["positions"])
        if not self._known:
            self._known = True
            self._reached = dict(self._announced)
        elif not self._missed:
            self._advance(self._announced)

    def record(self, position: Position) -> None:
        """Record an update."""
        if self._missed:
            self._missed -= 1
            if not self._whole:
                self._advance({position.partition: position.offset})
            if not self._missed:
                self._advance(self._announced)
        else:
            self._advance({position.partition: position.offset})

    def _advance(self, positions: Positions) -> None:
        for partition, offset in positions.items():
            if offset > self._reached.get(partition, -1):
                self._reached[partition] = offset
