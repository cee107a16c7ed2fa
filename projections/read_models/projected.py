"""The input of every read model: folded records with their parts encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from app.lists.state import TaskList
from app.log.event_json import NO_CHANGES, NULL, RecordedEvent, changes_json, event_of
from app.log.fold import Began, Folded, State, changes
from app.log.records import RawRecord, event_data_json
from app.log.updates import Update, state_json, update_of
from app.policies import reacts
from app.positions import Position
from app.quick_dataclasses import quickly_made
from app.tasks.state import Task
from app.users import User

S = TypeVar("S", Task, TaskList, User)


@quickly_made
@dataclass(frozen=True, slots=True)
class Projected:
    """A folded record as an event, whose data and changes are JSON, and the state after it as JSON.

    `reacts` says whether a policy must process it. `draft` is its update without the positions at which lists
    last changed. It is built before the commit, because errors can no longer be handled afterwards.
    """

    folded: Folded
    event: RecordedEvent
    state: bytes
    reacts: bool
    draft: Update | None

    @property
    def size_bytes(self) -> int:
        """The size of its update, without some hundred bytes."""
        return len(self.event.data) + len(self.event.changes) + len(self.state)

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists that an accepted record of a task concerns: the task's list, and the one it left."""
        before, after = self.folded.before, self.folded.after
        if self.folded.outcome != "accepted" or not isinstance(after, Task):
            return ()
        if isinstance(before, Task) and before.list_id != after.list_id:
            return after.list_id, before.list_id
        return (after.list_id,)

    def update(self, changed: Mapping[str, Position]) -> Update:
        """Return the update; `changed` has the positions at which lists last changed."""
        assert self.draft is not None
        partition = self.folded.raw.position.partition
        places = [changed[list_id] for list_id in self.lists if list_id in changed]
        after = tuple(place for place in places if place.partition != partition)
        return replace(self.draft, after=after) if after else self.draft


@dataclass(frozen=True, slots=True)
class ProjectedBatch:
    """The input of every read model: records in order, and `held`, the holds of streams after them.

    `held` maps the streams on hold to the position of the record that holds them.
    """

    records: Sequence[Projected]
    held: Mapping[str, str]

    def task_versions(self) -> Iterator[tuple[Task, Projected]]:
        """Yield each new version of a task with the record that made it, in order."""
        for projected in self.records:
            folded = projected.folded
            after = folded.after
            # A control record leaves its stream at the same version.
            if folded.outcome == "accepted" and isinstance(after, Task) and after is not folded.before:
                yield after, projected

    def newest(self, kind: type[S]) -> dict[str, tuple[S, bytes]]:
        """Return the newest state of each task, list or user that the batch changed, also as JSON."""
        return {
            after.id: (after, projected.state)
            for projected in self.records
            if isinstance(after := projected.folded.after, kind) and projected.folded.outcome == "accepted"
        }


def project(folded: Folded, *, tells: bool) -> Projected:
    """Encode the parts of a folded record, and its update if `tells`."""
    data = event_data_json(folded.record.data) if folded.record else NULL
    difference = changes_json(changes(folded.before, folded.after))
    state = state_json(folded.after)
    event = event_of(folded, data, difference)
    draft = update_of(folded, event, state) if tells else None
    return Projected(folded, event, state, reacts=reacts(folded), draft=draft)


def settled(state: State, began: Began, partition: int) -> Projected:
    """Return the state of a stream as the outcome of one record, for read models that need no more."""
    raw = RawRecord(Position(partition, 0), began.recorded_at, None, (), None)
    folded = Folded(raw, None, "accepted", None, None, state)
    event = event_of(folded, NULL, NO_CHANGES)._replace(time=began.time)
    return Projected(folded, event, state_json(state), reacts=False, draft=None)
