"""Postponed repairs: the locks were held by others, or the repair was not accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from app.stream_ids import StreamId
from app.structure.rules import Violation
from projections.queries.structure import Candidates
from streams.backoff import Backoff

log = structlog.get_logger()

RETRY_FIRST_S = 0.2
RETRY_MOST_S = 30.0
PAUSES = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
MAX_POSTPONED = 20_000
"""Above this number of streams, others wait until they change, or until all tasks are checked."""


@dataclass(slots=True)
class _Postponed:
    """A stream that violates a rule, with the streams that the violation spans."""

    involved: frozenset[StreamId]
    due_s: float
    failures: int


class PostponedRepairs:
    """The violations to check again, each after a pause of its own that doubles each time."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._found: dict[StreamId, _Postponed] = {}
        self._taken: dict[StreamId, _Postponed] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, found: Sequence[Violation]) -> None:
        """Postpone these; one that was just taken waits longer than before."""
        now_s = self._monotonic_s()
        for each in found:
            before = self._found.get(each.stream) or self._taken.pop(each.stream, None)
            if before is None and len(self._found) >= MAX_POSTPONED:
                continue
            failures = 1 if before is None else before.failures + 1
            due_s = now_s + PAUSES.length_s(failures)
            self._found[each.stream] = _Postponed(each.involved, due_s, failures)
        if found:
            log.warning("repairs postponed", violations=len(found), waiting=len(self._found))

    def due_in_s(self) -> float | None:
        """Return the seconds until something is due; None if nothing is postponed."""
        if not self._found:
            return None
        return max(0.0, min(each.due_s for each in self._found.values()) - self._monotonic_s())

    def take_due(self) -> Candidates:
        """Return what is due now. Violations that were taken and not added again count as repaired."""
        now_s = self._monotonic_s()
        self._taken = {stream: each for stream, each in self._found.items() if each.due_s <= now_s}
        self._found = {stream: each for stream, each in self._found.items() if each.due_s > now_s}
        due = Candidates()
        for stream in {stream for each in self._taken.values() for stream in each.involved}:
            (due.lists if stream.kind == "list" else due.tasks).add(stream.key)
        return due
