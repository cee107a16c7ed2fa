"""Repairs that could not be made, because somebody held the locks or the repair was not accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from app.structure import Violation
from projections.structure_queries import Candidates

log = structlog.get_logger()

RETRY_FIRST_S = 0.2
RETRY_MOST_S = 30.0


class PostponedRepairs:
    """What could not be repaired, to be looked at again after a pause that doubles while there is any."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._found = Candidates()
        self._due_s = 0.0
        self._pause_s = RETRY_FIRST_S

    def add(self, found: Sequence[Violation]) -> None:
        """Postpone these; without any, the next pause is a short one again."""
        if not found:
            if not self._found:
                self._pause_s = RETRY_FIRST_S
            return
        for stream in {stream for each in found for stream in each.involved}:
            kind, _, key = stream.partition(":")
            (self._found.lists if kind == "list" else self._found.tasks).add(key)
        self._due_s = self._monotonic_s() + self._pause_s
        self._pause_s = min(self._pause_s * 2, RETRY_MOST_S)
        log.warning("repairs postponed", violations=len(found), retry_in_s=round(self._pause_s, 1))

    def due_in_s(self) -> float | None:
        """Return in how many seconds something is due; None if nothing is postponed."""
        return max(0.0, self._due_s - self._monotonic_s()) if self._found else None

    def take_due(self) -> Candidates:
        """Return what is due now."""
        if self.due_in_s() != 0.0:
            return Candidates()
        due, self._found = self._found, Candidates()
        return due
