"""The place to come back to: the positions that a client of an event stream has reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.positions import Position, Positions, format_positions, positions_from_json


class ResumeCursor:
    """Follows the messages of one stream; what it says after a message is where one resumes behind that.

    What was missed moves it on update by update. Only where a list comes from its beginning it waits until
    all of it has come: the list's past lies before what the client had reached.
    """

    def __init__(self, since: Positions | None) -> None:
        self._known = since is not None
        self._reached = dict(since or {})
        self._missed = 0
        self._whole = False
        self._adopt: dict[int, int] = {}

    def __str__(self) -> str:
        # An empty id would mean to a browser that there is no place to come back to.
        return format_positions(self._reached) or ","

    def begin(self, message: Mapping[str, Any], *, whole: bool) -> None:
        """Take note of a reply that announces what was missed, and of the positions that lie behind that."""
        self._missed, self._whole = message["missed"], whole
        self._adopt = positions_from_json(message["positions"])
        if not self._known:
            self._known = True
            self._reached = dict(self._adopt)
        elif not self._missed:
            self._advance(self._adopt)

    def pass_by(self, position: Position) -> None:
        """Take note of an update."""
        if self._missed:
            self._missed -= 1
            if not self._whole:
                self._advance({position.partition: position.offset})
            if not self._missed:
                self._advance(self._adopt)
        else:
            self._advance({position.partition: position.offset})

    def _advance(self, positions: Positions) -> None:
        for partition, offset in positions.items():
            if offset > self._reached.get(partition, -1):
                self._reached[partition] = offset
