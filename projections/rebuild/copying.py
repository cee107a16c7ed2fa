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
from projections.generations.contents import PARKED, WHOLE
from projections.postgres.engines import first_line, open_engine
from projections.postgres.live_generation import generation_schema
from projections.postgres.tables import generations, load_progress
from projections.read_models.registry import BY_NAME

_COPY = 'INSERT INTO "{new}".{table} ({columns}) SELECT {columns} FROM "{live}".{table}'
_BEFORE = 'WHERE "offset" < (CAST(:firsts AS bigint[]))[partition + 1]'
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
    loaded = await contents.read(connection, new)
    firsts = [min(offsets) for offsets in zip(*loaded.values(), strict=True)]
    if len(loaded) == len(BY_NAME) and not any(firsts):
        return
    if not await _is_to_do(connection, new):
        return
    live_number = select(func.max(generations.c.number)).where(generations.c.status == "live")
    live = generation_schema(control_schema, (await connection.execute(live_number)).scalar_one())
    places = {"new": new, "live": live}
    for name, read_model in BY_NAME.items():
        for table in read_model.TABLES:
            copy = _COPY.format(**places, table=table.name, columns=_columns(table))
            if name not in loaded:
                await connection.execute(text(copy))
            elif any(firsts):
                await connection.execute(text(f"{copy} {_BEFORE}"), {"firsts": firsts})
    note = _NOTE.format(**places, parked=PARKED.format(schema=live))
    await connection.execute(text(note), {"firsts": firsts or await _nothing(connection, new)})


async def _is_to_do(connection: AsyncConnection, schema: str) -> bool:
    if not await connection.run_sync(lambda each: inspect(each).has_table(load_progress.name, schema)):
        return False
    copied = text(f'SELECT count(until) FROM "{schema}".load_progress')  # noqa: S608
    return not (await connection.execute(copied)).scalar()


async def _nothing(connection: AsyncConnection, schema: str) -> Sequence[int]:
    """Return the first offsets of a generation that loads nothing."""
    partitions = text(f'SELECT count(*) FROM "{schema}".load_progress')  # noqa: S608
    return [WHOLE] * (await connection.execute(partitions)).scalar_one()


def _columns(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)
