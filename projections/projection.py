"""What every read model is given: a folded record with its parts encoded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from app.fold import Folded, changes
from app.policies import reacts
from app.records import event_data_json
from app.updates import Update, assemble, changes_json, event_json, state_json

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)


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

    def update(self) -> Update:
        """The update that tells of it."""
        event = event_json(self.folded, self.data)
        return assemble(self.folded, event=event, difference=self.changes, state=self.state)


def project(folded: Folded) -> Projected:
    """Encode the parts of a folded record."""
    return Projected(
        folded,
        data=event_data_json(folded.record.data) if folded.record else b"null",
        changes=changes_json(changes(folded.before, folded.after)),
        state=state_json(folded.after),
        reacts=reacts(folded),
    )
