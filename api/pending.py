"""What this node has written and not yet heard of: states to decide on, and keys to recognise."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from app.fold import State
from app.positions import Position

MAX_PENDING = 10_000


@dataclass(frozen=True, slots=True)
class Written:
    """A record that was appended and whose outcome is not known here yet."""

    position: Position
    event_id: str
    command_hash: str | None
    after: State
    """The state after it, should it be accepted."""


class Pending:
    """The newest unresolved append of each stream, a bounded number of them, the oldest forgotten first.

    Forgetting is harmless: a command then decides on an older state, and the fold supersedes its event.
    """

    def __init__(self, reached: Mapping[int, int], limit: int = MAX_PENDING) -> None:
        self._reached = reached
        self._limit = limit
        self._streams: OrderedDict[str, Written] = OrderedDict()
        self._events: OrderedDict[str, Written] = OrderedDict()

    def add(self, stream: str, written: Written) -> None:
        """Remember an append, unless its outcome has come meanwhile."""
        if self._is_resolved(written):
            return
        for entries, name in ((self._streams, stream), (self._events, written.event_id)):
            entries[name] = written
            entries.move_to_end(name)
            if len(entries) > self._limit:
                entries.popitem(last=False)

    def of_stream(self, stream: str) -> Written | None:
        """The newest append to a stream that is not resolved."""
        return self._open(self._streams, stream)

    def of_event(self, event_id: str) -> Written | None:
        """The append of an event id that is not resolved."""
        return self._open(self._events, event_id)

    def positions(self) -> dict[int, int]:
        """Up to where the log has to be folded for all of them to be resolved."""
        found: dict[int, int] = {}
        for written in self._events.values():
            if not self._is_resolved(written):
                partition, offset = written.position
                found[partition] = max(offset, found.get(partition, -1))
        return found

    def _open(self, entries: OrderedDict[str, Written], name: str) -> Written | None:
        written = entries.get(name)
        if written is not None and self._is_resolved(written):
            del entries[name]
            return None
        return written

    def _is_resolved(self, written: Written) -> bool:
        return self._reached.get(written.position.partition, -1) >= written.position.offset
