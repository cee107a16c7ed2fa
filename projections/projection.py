"""What every read model is given: a folded record with its parts encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from app.fold import Folded, changes
from app.policies import reacts
from app.positions import Position
from app.records import event_data_json
from app.tasks import Task
from app.updates import Update, assemble, changes_json, event_json, state_json

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Source: TypeAlias = "Connection | asyncpg.Pool[asyncpg.Record]"
"""What answers queries: one connection, or a pool for each query by itself."""


@dataclass(frozen=True, slots=True)
class Projected:
    """A folded record, with its data, its changes and the state after it as JSON.

    `reacts` says whether a policy has to look at it.
    """

    folded: Folded
    data: bytes
    changes: bytes
    state: bytes
    reacts: bool

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists that an accepted record of a task concerns: where the task is, and the one it left."""
        before, after = self.folded.before, self.folded.after
        if self.folded.outcome != "accepted" or not isinstance(after, Task):
            return ()
        if isinstance(before, Task) and before.list_id != after.list_id:
            return after.list_id, before.list_id
        return (after.list_id,)

    def update(self, changed: Mapping[str, Position]) -> Update:
        """The update that tells of it; `changed` says where lists last changed."""
        event = event_json(self.folded, self.data)
        partition = self.folded.raw.position.partition
        places = [changed[list_id] for list_id in self.lists if list_id in changed]
        after = tuple(place for place in places if place.partition != partition)
        return assemble(self.folded, event=event, difference=self.changes, state=self.state, after=after)


def project(folded: Folded) -> Projected:
    """Encode the parts of a folded record."""
    return Projected(
        folded,
        data=event_data_json(folded.record.data) if folded.record else b"null",
        changes=changes_json(changes(folded.before, folded.after)),
        state=state_json(folded.after),
        reacts=reacts(folded),
    )
