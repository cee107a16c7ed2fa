"""The states of streams of any kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import asyncpg

from app.log.fold import State
from app.stream_ids import StreamId
from projections.postgres.connections import Connection, Source
from projections.postgres.stream_ids import stream_of
from projections.read_models import lists, tasks, users
from projections.read_models.dead_letters import HELD_BY


async def load_states(source: Source, kind: str, keys: Sequence[str]) -> Mapping[str, State]:
    """Return the states of streams of one kind by key; omit keys without a state."""
    match kind:
        case "task":
            return await tasks.load(source, list(keys))
        case "list":
            return await lists.load(source, list(keys))
        case "user":
            return await users.load(source, list(keys))
        case _:
            return {}


async def load_newest(source: Source, stream: StreamId) -> tuple[State | None, str | None]:
    """Return the state of one stream, and the position of the record that holds it, if one does.

    One query reads both, because it runs for every command.
    """
    row = await source.fetchrow(_NEWEST[stream.kind], stream.key, stream)
    assert row is not None
    state = None if row["id"] is None else _FROM_ROW[stream.kind](row)
    return state, row["held_by"]


async def load_newest_of(
    source: Source, streams: Sequence[StreamId]
) -> Mapping[StreamId, tuple[State | None, str | None]]:
    """Return the same as `load_newest` for each of these streams."""
    if len(streams) == 1:
        return {streams[0]: await load_newest(source, streams[0])}
    found: dict[StreamId, tuple[State | None, str | None]] = {}
    for kind, of_kind in _by_kind(streams).items():
        for row in await source.fetch(_NEWEST_OF[kind], list(of_kind)):
            state = None if row["id"] is None else _FROM_ROW[kind](row)
            found[of_kind[row["key"]]] = state, row["held_by"]
    return found


def _newest(table: str, columns: Sequence[str]) -> str:
    return f"""
        SELECT {", ".join(f"{table}.{name}" for name in columns)}, hold.held_by FROM (
            SELECT {HELD_BY.format(stream="$2")}
        ) AS hold LEFT JOIN {table} ON {table}.id = $1
    """  # noqa: S608


def _newest_of(kind: str, columns: Sequence[str]) -> str:
    table, held_by = f"{kind}s", HELD_BY.format(stream=stream_of(kind, "wanted.key"))
    return f"""
        SELECT {", ".join(f"{table}.{name}" for name in columns)}, wanted.key, {held_by}
        FROM unnest($1::text[]) AS wanted(key) LEFT JOIN {table} ON {table}.id = wanted.key
    """  # noqa: S608


_COLUMNS = {"task": tasks.STATE_COLUMNS, "list": lists.STATE_COLUMNS, "user": users.STATE_COLUMNS}
_NEWEST = {kind: _newest(f"{kind}s", columns) for kind, columns in _COLUMNS.items()}
_NEWEST_OF = {kind: _newest_of(kind, columns) for kind, columns in _COLUMNS.items()}
_FROM_ROW: Mapping[str, Callable[[asyncpg.Record], State]] = {
    "task": tasks.task_from_row,
    "list": lists.list_from_row,
    "user": users.user_from_row,
}


async def load_streams(connection: Connection, streams: Collection[StreamId]) -> dict[StreamId, State]:
    """Return the states of streams of any kind; omit streams without a state."""
    return {
        of_kind[key]: state
        for kind, of_kind in _by_kind(streams).items()
        for key, state in (await load_states(connection, kind, list(of_kind))).items()
    }


def _by_kind(streams: Iterable[StreamId]) -> dict[str, dict[str, StreamId]]:
    """Return streams by kind and key."""
    kinds: dict[str, dict[str, StreamId]] = {}
    for stream in streams:
        kinds.setdefault(stream.kind, {})[stream.key] = stream
    return kinds
