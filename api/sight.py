"""What commands are decided on: the read models, and over them what this node has written since."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from api.pending import Pending
from api.recency import Moment
from api.surroundings import Around
from api.withdrawing import held
from app.fold import State
from app.positions import Positions
from app.tasks import Task
from projections.command_queries import AcceptedEvent
from projections.sub_tasks import Lines

NO_LINES = Lines()


class Rows(Around, Protocol):
    """What deciding asks of the read models."""

    async def state(self, stream: str) -> State | None:
        """The newest state of a stream."""

    async def newest(self, stream: str) -> tuple[State | None, str | None]:
        """The newest state of a stream, and the position of the record that holds it, if one does."""

    async def lines(self, task_ids: Collection[str]) -> Lines:
        """Return these tasks and all above them, deleted ones included."""

    async def state_at(self, stream: str, version: int) -> State | None:
        """The state of a stream after its first `version` events."""

    async def accepted(self, event_id: str) -> AcceptedEvent | None:
        """The accepted event of this id."""

    async def accepted_among(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Return those of these event ids that were accepted."""


class StateReader(Rows, Protocol):
    """The read models as they are whenever they are asked, and how they are at one moment."""

    async def positions(self) -> Positions:
        """How far they are."""

    def moment(self) -> Moment[Rows]:
        """One moment of them."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Rows, with what was written here and has not come back yet over them.

    The states of tasks in `lines` are taken from there: they were read under locks just before.
    """

    rows: Rows
    pending: Pending
    lines: Lines = NO_LINES

    async def state(self, stream: str) -> State | None:
        """The newest state that this node knows of."""
        known = self._known(stream)
        return self._over(await self.rows.state(stream) if known is None else known, stream)

    async def with_lines(self, task_ids: Collection[str]) -> Sight:
        """Read these tasks and all above them at once, as they are now."""
        return replace(self, lines=await self.rows.lines(task_ids))

    async def unheld(self, stream: str) -> State | None:
        """The same, of a stream that goes on. Raises `Conflict` for one that a parked record holds."""
        state: State | None = self._known(stream)
        if state is None:
            state, holder = await self.rows.newest(stream)
        else:
            holder = self.lines.holders.get(state.id)
        if holder is not None:
            raise held(holder)
        return self._over(state, stream)

    def _known(self, stream: str) -> Task | None:
        kind, _, key = stream.partition(":")
        return self.lines.tasks.get(key) if kind == "task" else None

    def _over(self, state: State | None, stream: str) -> State | None:
        written = self.pending.of_stream(stream)
        if written is not None and (state is None or written.after.version > state.version):
            return written.after
        return state
