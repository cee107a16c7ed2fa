"""The states of streams, whatever their kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from app.fold import State
from app.records import stream_kind
from projections import lists, tasks, users
from projections.projection import Connection, Source


async def load_states(source: Source, kind: str, keys: Sequence[str]) -> Mapping[str, State]:
    """The states of streams of one kind by key; keys without a state are absent."""
    match kind:
        case "task":
            return await tasks.load(source, list(keys))
        case "list":
            return await lists.load(source, list(keys))
        case "user":
            return await users.load(source, list(keys))
        case _:
            return {}


async def load_streams(connection: Connection, streams: Collection[str]) -> dict[str, State]:
    """The states of streams of any kinds; streams without a state are absent."""
    kinds: dict[str, list[str]] = {}
    for stream in streams:
        kinds.setdefault(stream_kind(stream), []).append(stream.partition(":")[2])
    return {
        f"{kind}:{key}": state
        for kind, keys in kinds.items()
        for key, state in (await load_states(connection, kind, keys)).items()
    }
