"""Copying: a generation that loads only some read models takes the rows of the others from the live one.

All of them are as of one moment, up to which the others are loaded. A copy that was interrupted left nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import Unavailable
from projections.generations import contents
from projections.generations.contents import PARKED, WHOLE, LoadedFrom
from projections.postgres.engines import first_line, open_engine
from projections.postgres.live_generation import generation_schema
from projections.postgres.tables import generations, load_progress
from projections.read_models.registry import BY_NAME, ReadModel

_COPY = 'INSERT INTO "{new}".{table} ({columns}) SELECT {columns} FROM "{live}".{table}'
_BEFORE = 'WHERE "offset" < (CAST(:ends AS bigint[]))[partition + 1]'
_NOTE = """
    UPDATE "{new}".load_progress AS l SET
        until = c.next_offset,
        next_offset = least(f.first, c.next_offset),
        finished = f.first >= c.next_offset,
        parked = ARRAY({parked} AND a.partition = c.partition AND a."offset" < c.next_offset ORDER BY 1)
    FROM "{live}".checkpoints AS c
        CROSS JOIN LATERAL (SELECT (CAST(:firsts AS bigint[]))[c.partition + 1] AS first) AS f
    WHERE c.partition = l.partition
"""


async def copy_live(url: str, control_schema: str, number: int) -> None:
    """Copy what a generation takes from the live one; do nothing if that is done. Raise `Unavailable`."""
    engine = open_engine(url, control_schema)
    try:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            async with connection.begin():
                await _copy_once(connection, control_schema, number)
    except DBAPIError as error:
        raise Unavailable(f"the live read models cannot be copied: {first_line(error)}") from error
    finally:
        await engine.dispose()


async def _copy_once(connection: AsyncConnection, control_schema: str, number: int) -> None:
    new = generation_schema(control_schema, number)
    partitions = await _partitions_to_copy(connection, new)
    kept = await _kept(connection, new, partitions)
    if not partitions or not any(map(any, kept.values())):
        return
    live_number = select(func.max(generations.c.number)).where(generations.c.status == "live")
    live = generation_schema(control_schema, (await connection.execute(live_number)).scalar_one())
    for name, ends in kept.items():
        if any(ends):
            await _copy(connection, BY_NAME[name], ends, live, new)
    firsts = [min(ends) for ends in zip(*kept.values(), strict=True)]
    note = _NOTE.format(new=new, live=live, parked=PARKED.format(schema=live))
    await connection.execute(text(note), {"firsts": firsts})


async def _partitions_to_copy(connection: AsyncConnection, schema: str) -> int:
    """Return the number of partitions of a generation that is loaded; 0 if its rows were copied before."""
    if not await connection.run_sync(lambda each: inspect(each).has_table(load_progress.name, schema)):
        return 0
    counts = text(f'SELECT count(*) AS partitions, count(until) AS copied FROM "{schema}".load_progress')  # noqa: S608
    row = (await connection.execute(counts)).one()
    return 0 if row.copied else int(row.partitions)


async def _kept(connection: AsyncConnection, schema: str, partitions: int) -> LoadedFrom:
    """Return the offset of each partition below which the rows of each read model are copied."""
    loaded = await contents.read(connection, schema)
    return {name: loaded.get(name, (WHOLE,) * partitions) for name in BY_NAME}


async def _copy(
    connection: AsyncConnection, read_model: ReadModel, ends: Sequence[int], live: str, new: str
) -> None:
    """Copy the rows of the records below these offsets; all rows, if they are not those of records."""
    part, values = ("", {}) if min(ends) == WHOLE else (_BEFORE, {"ends": list(ends)})
    for table in read_model.TABLES:
        copy = _COPY.format(new=new, live=live, table=table.name, columns=_columns(table))
        await connection.execute(text(f"{copy} {part}"), values)


def _columns(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)
