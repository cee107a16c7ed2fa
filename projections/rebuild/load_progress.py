"""The progress of loading a generation in bulk, in a table of it that exists until the load is done.

Until then its checkpoints are at 0, and nobody else may write to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from projections.postgres.connections import Connection, Source
from projections.postgres.database import Database
from projections.read_models.registry import BY_NAME, ReadModel

_EXISTS = "SELECT to_regclass('load_progress') IS NOT NULL"
_READ = "SELECT partition, next_offset, finished, until, parked FROM load_progress ORDER BY partition"
_ADVANCE = (
    "UPDATE load_progress SET next_offset = $3 WHERE partition = $1 AND next_offset = $2 AND NOT finished"
)
_FINISH = (
    "UPDATE load_progress SET finished = true WHERE partition = $1 AND next_offset = $2 AND NOT finished"
)
_LOADED = "SELECT read_model FROM read_model_versions WHERE loaded_from IS NOT NULL"
_END = """
    UPDATE checkpoints AS c SET next_offset = l.next_offset, emitted_offset = l.next_offset
    FROM load_progress AS l WHERE l.partition = c.partition
"""


class Overtaken(Exception):
    """Error if another process loads the same partition; nothing was written."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The records of a partition below `next_offset` are loaded; if `finished`, the states after them too.

    If rows were copied from the live generation, the load ends at `until`, and has to park what was `parked`.
    """

    next_offset: int
    finished: bool
    until: int | None
    parked: Sequence[int] | None


async def read(source: Source) -> Mapping[int, Loaded] | None:
    """Return the progress of each partition, or None if nothing is left to load."""
    if not await source.fetchval(_EXISTS):
        return None
    return {
        row["partition"]: Loaded(row["next_offset"], row["finished"], row["until"], row["parked"])
        for row in await source.fetch(_READ)
    }


async def loaded(source: Source) -> Sequence[ReadModel]:
    """Return the read models that are loaded from the log, in the order in which they are written."""
    names = {row["read_model"] for row in await source.fetch(_LOADED)}
    return [read_model for name, read_model in BY_NAME.items() if name in names]


async def advance(connection: Connection, partition: int, first: int, end: int) -> None:
    """Move the progress of a partition. Raise `Overtaken`."""
    _check(await connection.execute(_ADVANCE, partition, first, end))


async def finish(connection: Connection, partition: int, end: int) -> None:
    """Note that the states after the records below `end` are written. Raise `Overtaken`."""
    _check(await connection.execute(_FINISH, partition, end))


def _check(status: str) -> None:
    if status != "UPDATE 1":
        raise Overtaken


async def end_load(database: Database, partitions: Sequence[int]) -> None:
    """Set the checkpoints to what was loaded. From now on projectors write to the generation."""
    async with database.pool.acquire() as connection, connection.transaction():
        progress = await read(connection)
        if progress is None:
            return
        assert all(progress[partition].finished for partition in partitions)
        await connection.execute(_END)
        await connection.execute("DROP TABLE load_progress")
