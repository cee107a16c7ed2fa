"""The states of streams, whatever their kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.fold import State
from projections import lists, tasks, users
from projections.projection import Connection


async def load_states(connection: Connection, kind: str, keys: Sequence[str]) -> Mapping[str, State]:
    """The states of streams of one kind by key; keys without a state are absent."""
    match kind:
        case "task":
            return await tasks.load(connection, list(keys))
        case "list":
            return await lists.load(connection, list(keys))
        case "user":
            return await users.load(connection, list(keys))
        case _:
            return {}
