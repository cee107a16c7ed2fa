"""The contents of a generation: which read models are loaded from the log, and which are copied.

A read model whose fingerprint is that of the live generation's need not be made from the log again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.positions import Positions
from projections.generations.fingerprints import fingerprint
from projections.postgres.tables import checkpoints, read_model_versions
from projections.read_models.registry import BY_NAME, with_dependents

LoadedFrom = Mapping[str, tuple[int, ...]]
"""Read model → for each partition, the offset from which on its rows are loaded from the log."""

WHOLE = 2**62
"""The offset of a partition of which nothing is loaded: all its rows are copied."""
PARKED = 'SELECT a."offset" FROM "{schema}".audit AS a WHERE a.outcome = \'parked\''
"""The records that a generation has parked. A load has to park the same ones."""
_WRITE = """
    INSERT INTO "{schema}".read_model_versions (read_model, fingerprint, loaded_from)
    VALUES (:name, :fingerprint, :loaded_from)
"""
_READ = 'SELECT read_model, fingerprint, loaded_from FROM "{schema}".read_model_versions'


def from_the_start(names: Iterable[str], partitions: int) -> LoadedFrom:
    """Return the contents of a generation that loads these read models whole."""
    return dict.fromkeys(names, (0,) * partitions)


def from_positions(names: Iterable[str], positions: Positions, partitions: int) -> LoadedFrom:
    """Return the contents of a generation that loads these from the positions on.

    The rows of other partitions are copied.
    """
    return {name: tuple(positions.get(each, WHOLE) for each in range(partitions)) for name in names}


async def write(connection: AsyncConnection, schema: str, loaded: LoadedFrom) -> None:
    """Record the contents of a generation that is created."""
    for name in BY_NAME:
        first = loaded.get(name)
        row = {"name": name, "fingerprint": fingerprint(name), "loaded_from": first and list(first)}
        await connection.execute(text(_WRITE.format(schema=schema)), row)


async def read(connection: AsyncConnection, schema: str) -> LoadedFrom:
    """Return the contents of a generation of this version."""
    rows = await connection.execute(text(_READ.format(schema=schema)))
    return {row.read_model: tuple(row.loaded_from) for row in rows if row.loaded_from is not None}


async def outdated(connection: AsyncConnection, schema: str) -> set[str]:
    """Return the read models that have to be loaded, because a generation's cannot be copied.

    These are all if it is of a release that did not record its contents, or if its audit is unlike ours: then
    it is unknown which records it has parked.
    """
    tables = set(await connection.run_sync(lambda each: inspect(each).get_table_names(schema)))
    if not {checkpoints.name, read_model_versions.name} <= tables:
        return set(BY_NAME)
    try:
        async with connection.begin_nested():
            await connection.execute(text(f"{PARKED.format(schema=schema)} LIMIT 0"))
    except DBAPIError:
        return set(BY_NAME)
    rows = await connection.execute(text(_READ.format(schema=schema)))
    known = {row.read_model: row.fingerprint for row in rows}
    return with_dependents(
        {
            name
            for name, read_model in BY_NAME.items()
            if known.get(name) != fingerprint(name)
            or not {table.name for table in read_model.TABLES} <= tables
        }
    )
