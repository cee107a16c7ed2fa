"""The backlog of a partition: the events to react to, kept in memory and restored from the audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.policies import Cause
from projections.queries.policies import Reacting
from streams.backoff import Backoff

OPEN_MOST = 1_000
"""The number of open reactions of a partition at the same time."""
QUICK_TRIES = 4
"""The number of appends without a pause: restoring a task takes three."""
PAUSES = Backoff(first_s=0.4, longest_s=300.0)
"""Of an event that is appended more often than that."""


@dataclass(slots=True)
class Reaction:
    """An event to react to. It can be decided once the read models have reached `needs`, by partition."""

    row: Reacting
    cause: Cause | None = None
    needs: Mapping[int, int] | None = None
    tries: int = 0
    not_before_s: float = 0.0

    def may_be_decided(self, projected: Mapping[int, int]) -> bool:
        """Return whether the read models have reached what is needed."""
        needs = self.needs or {}
        return all(projected.get(partition, 0) >= offset for partition, offset in needs.items())

    def tried(self, now_s: float) -> float:
        """Record an append; after many of them, pause. Return the pause in seconds."""
        self.tries += 1
        late = self.tries - QUICK_TRIES
        pause_s = PAUSES.length_s(late) if late > 0 else 0.0
        self.not_before_s = now_s + pause_s
        return pause_s

    def failed(self, now_s: float) -> float:
        """Record a failure, and pause. Return the pause in seconds."""
        self.tries = max(self.tries, QUICK_TRIES)
        return self.tried(now_s)


@dataclass(slots=True)
class Backlog:
    """The reactions of one partition, in the log's order.

    Events to react to below offset `read` are either done or among the open ones. Events below `known` are in
    the read models. `saved` is the checkpoint as last written.
    """

    saved: int
    read: int = field(init=False)
    known: int = field(init=False)
    _open: dict[int, Reaction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.read = self.known = self.saved

    def __len__(self) -> int:
        return len(self._open)

    @property
    def checkpoint(self) -> int:
        """The offset below which everything is done."""
        return next(iter(self._open), self.read)

    @property
    def room(self) -> int:
        """The number of reactions to look up now; 0 if there is nothing to look up."""
        return OPEN_MOST - len(self._open) if self.read < self.known else 0

    def committed(self, first: int, end: int, *, reacts: bool) -> None:
        """Record that `[first, end)` is in the read models. Skip it if nothing in it reacts."""
        self.known = max(self.known, end)
        if not reacts and first <= self.read:
            self.read = max(self.read, end)

    def looked_up(self, rows: Iterable[Reacting], end: int) -> None:
        """Add all the rows that react from `read` to `end`."""
        self._open.update((row.position.offset, Reaction(row)) for row in rows)
        self.read = max(self.read, end)

    def heads(self) -> Iterable[Reaction]:
        """Return the first open reaction of every stream; the later ones wait for it."""
        firsts: dict[str, Reaction] = {}
        for reaction in self._open.values():
            firsts.setdefault(reaction.row.stream, reaction)
        return firsts.values()

    def done(self, reaction: Reaction) -> None:
        """Remove a reaction that is done."""
        self._open.pop(reaction.row.position.offset, None)
