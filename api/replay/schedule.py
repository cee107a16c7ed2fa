"""The schedule of a replay: when each event is due. Pure: the caller says what time it is."""

from __future__ import annotations

from datetime import datetime

MAX_LAG_S = 0.25
"""A replay that is further behind than this, as its reader is slow, does not catch up."""


class Schedule:
    """Real times of events: gaps are divided by `speed`, and then at most `max_gap_s` long."""

    __slots__ = ("_anchor_s", "_at", "_done", "_max_gap_s", "speed")

    def __init__(self, speed: float, max_gap_s: float, at: datetime, now_s: float) -> None:
        self.speed = speed
        self._max_gap_s = max_gap_s
        self._at = at
        self._anchor_s = now_s
        self._done = 0.0
        """The part of the current gap that had passed at the anchor."""

    def due_s(self, following: datetime) -> float:
        """Return when the next event, at `following`, is due if nothing is paused."""
        return self._anchor_s + self._gap_s(following) * (1.0 - self._done)

    def sent(self, at: datetime, now_s: float) -> None:
        """Record that the next event was sent; the next gap begins when it was due."""
        self._anchor_s = max(min(self.due_s(at), now_s), now_s - MAX_LAG_S)
        self._at, self._done = at, 0.0

    def move(self, at: datetime, now_s: float) -> None:
        """Continue from another time."""
        self._at, self._anchor_s, self._done = at, now_s, 0.0

    def pause(self, following: datetime | None, now_s: float) -> None:
        """Stop within the gap before the next event, if there is one."""
        gap_s = 0.0 if following is None else self._gap_s(following)
        if gap_s:
            self._done = min(1.0, self._done + (now_s - self._anchor_s) / gap_s)
        self._anchor_s = now_s

    def resume(self, now_s: float) -> None:
        """Continue after a pause, within the same gap."""
        self._anchor_s = now_s

    def _gap_s(self, following: datetime) -> float:
        return min((following - self._at).total_seconds() / self.speed, self._max_gap_s)
