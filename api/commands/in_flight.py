"""The states that commands are decided on: the read models, overlaid with this node's unprojected writes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from api.commands.load_context import ContextQueries
from api.commands.withdrawal import held
from app.log.fold import State
from app.positions import Position, Positions
from app.stream_ids import StreamId
from app.tasks.state import Task
from projections.queries.decisions import AcceptedEvent
from projections.queries.sub_tasks import Lines

NO_LINES = Lines()


class Rows(ContextQueries, Protocol):
    """The queries of the read models that deciding needs."""

    async def state(self, stream: StreamId) -> State | None:
        """Return the newest state of a stream."""

    async def newest(self, stream: StreamId) -> tuple[State | None, str | None]:
        """Return the newest state of a stream, and the position of the record that holds it, if any."""

    async def lines(self, task_ids: Collection[str]) -> Lines:
        """Return these tasks and all their ancestors, deleted ones included."""

    async def state_at(self, stream: StreamId, version: int) -> State | None:
        """Return the state of a stream after its first `version` events."""

    async def accepted(self, event_id: str) -> AcceptedEvent | None:
        """Return the accepted event of this id."""

    async def accepted_among(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Return those of these event ids that were accepted."""


class StateReader(Rows, Protocol):
    """The read models at the time of each query, and as a snapshot."""

    async def positions(self) -> Positions:
        """Return the positions that they have reached."""

    def moment(self) -> AbstractAsyncContextManager[tuple[Rows, Positions]]:
        """Return a reader of one snapshot of them, and its positions."""


@dataclass(frozen=True, slots=True)
class ReadYourWritesReader:
    """Rows overlaid with this node's writes that are not projected yet.

    The states of tasks in `lines` are taken from there: they were read under locks just before.
    """

    rows: Rows
    in_flight: InFlightWrites
    lines: Lines = NO_LINES

    async def state(self, stream: StreamId) -> State | None:
        """Return the newest state that this node knows."""
        known = self._known(stream)
        return self._overlay(await self.rows.state(stream) if known is None else known, stream)

    async def with_lines(self, task_ids: Collection[str]) -> ReadYourWritesReader:
        """Load these tasks and all their ancestors at once, as they are now."""
        return replace(self, lines=await self.rows.lines(task_ids))

    async def state_unless_held(self, stream: StreamId) -> State | None:
        """Return the same for a stream that is not held. Raise `Conflict` if a parked record holds it."""
        state: State | None = self._known(stream)
        if state is None:
            state, holder = await self.rows.newest(stream)
        else:
            holder = self.lines.holders.get(state.id)
        if holder is not None:
            raise held(holder)
        return self._overlay(state, stream)

    def _known(self, stream: StreamId) -> Task | None:
        return self.lines.tasks.get(stream.key) if stream.kind == "task" else None

    def _overlay(self, state: State | None, stream: StreamId) -> State | None:
        written = self.in_flight.of_stream(stream)
        if written is not None and (state is None or written.after.version > state.version):
            return written.after
        return state


MAX_IN_FLIGHT = 10_000


@dataclass(frozen=True, slots=True)
class InFlightWrite:
    """A record that was appended and whose outcome is not known here yet."""

    position: Position
    event_id: str
    command_hash: str | None
    after: State
    """The state after it, if it is accepted."""


class InFlightWrites:
    """The newest unresolved append of each stream; bounded, the oldest is evicted first.

    Eviction is harmless: a command then decides on an older state, and the fold supersedes its event.
    """

    def __init__(self, reached: Mapping[int, int], limit: int = MAX_IN_FLIGHT) -> None:
        self._reached = reached
        self._limit = limit
        # As cachetools' FIFOCache, but at a third of its cost, twice in each command.
        self._streams: OrderedDict[str, InFlightWrite] = OrderedDict()
        self._events: OrderedDict[str, InFlightWrite] = OrderedDict()

    def add(self, stream: StreamId, written: InFlightWrite) -> None:
        """Add an append, unless its outcome has arrived meanwhile."""
        if self._is_resolved(written):
            return
        for entries, name in ((self._streams, stream), (self._events, written.event_id)):
            entries[name] = written
            entries.move_to_end(name)
            if len(entries) > self._limit:
                entries.popitem(last=False)

    def of_stream(self, stream: StreamId) -> InFlightWrite | None:
        """Return the newest unresolved append to a stream."""
        return self._open(self._streams, stream)

    def of_event(self, event_id: str) -> InFlightWrite | None:
        """Return the unresolved append of an event id."""
        return self._open(self._events, event_id)

    def positions(self) -> dict[int, int]:
        """Return the positions at which all of them are resolved."""
        found: dict[int, int] = {}
        for written in self._events.values():
            if not self._is_resolved(written):
                partition, offset = written.position
                found[partition] = max(offset, found.get(partition, -1))
        return found

    def _open(self, entries: OrderedDict[str, InFlightWrite], name: str) -> InFlightWrite | None:
        written = entries.get(name)
        if written is not None and self._is_resolved(written):
            del entries[name]
            return None
        return written

    def _is_resolved(self, written: InFlightWrite) -> bool:
        return self._reached.get(written.position.partition, -1) >= written.position.offset
