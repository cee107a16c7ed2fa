"""The swap: one transaction makes another generation the live one.

Projectors of the former one cannot move its checkpoints afterwards, and find the new one. Everybody else
follows at the next use of a connection, as `projections.postgres.live_generation` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import Unavailable
from projections.generations.lifecycle import live_of_this_version
from projections.generations.migration_lock import hold_migration_lock
from projections.postgres.engines import open_engine
from projections.postgres.live_generation import generation_schema
from projections.postgres.tables import generations

Finish = Callable[[Mapping[int, int]], Awaitable[None]]
"""Folds the rest of the log, up to these next offsets of its partitions, into the new generation."""

_LIMITS = "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '20s'"
"""A rebuild that hangs while projectors wait for it loses its connection, and they go on."""
_ALIGN = """
    UPDATE {new}.checkpoints AS new SET emitted_offset = least(old.emitted_offset, new.next_offset)
    FROM {old}.checkpoints AS old
    WHERE old.partition = new.partition AND old.next_offset = new.next_offset
"""


async def swap(url: str, control_schema: str, number: int, finish: Finish | None = None) -> None:
    """Make generation `number` the live one, and retire the former one; do nothing if that is done.

    With `finish`, the projectors of the former one wait until both are at the same offsets. So what was
    emitted for the former is known of the new one. Raise `Unavailable`, and the errors of `finish`; nothing
    has changed then.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            await hold_migration_lock(connection)
            status = select(generations.c.status).where(generations.c.number == number)
            if (await connection.execute(status)).scalar() != "building":
                return
            former = await live_of_this_version(connection, control_schema)
            if former is not None:
                await _take_over(connection, control_schema, former, number, finish)
            await connection.execute(
                update(generations).where(generations.c.status == "live").values(status="retired")
            )
            await connection.execute(
                update(generations).where(generations.c.number == number).values(status="live")
            )
    except DBAPIError as error:
        raise Unavailable(f"the read models could not be swapped: {error.orig}") from error
    finally:
        await engine.dispose()


async def align(url: str, control_schema: str, number: int, finish: Finish) -> None:
    """Bring generation `number` to where the live one is, while its projectors wait, and change nothing else.

    `finish` is called while they wait. Raise as `swap` does.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.connect() as connection:
            former = await live_of_this_version(connection, control_schema)
            if former is None:
                raise Unavailable("there is no live generation to compare with; run `tasktape migrate`")
            await _take_over(connection, control_schema, former, number, finish)
            await connection.rollback()
    except DBAPIError as error:
        raise Unavailable(f"the read models could not be compared: {error.orig}") from error
    finally:
        await engine.dispose()


async def _take_over(
    connection: AsyncConnection,
    control_schema: str,
    former: int,
    number: int,
    finish: Finish | None,
) -> None:
    """Stop the projectors of the former generation, and bring the new one to where they were."""
    old, new = (f'"{generation_schema(control_schema, each)}"' for each in (former, number))
    for limit in _LIMITS.split("; "):
        await connection.execute(text(limit))
    # Readers go on; a batch that is being projected is finished first.
    await connection.execute(text(f"LOCK TABLE {old}.checkpoints IN EXCLUSIVE MODE"))
    if finish is not None:
        rows = await connection.execute(text(f"SELECT partition, next_offset FROM {old}.checkpoints"))  # noqa: S608
        offsets = {row.partition: row.next_offset for row in rows}
        await finish(offsets)
        aligned = await connection.execute(text(_ALIGN.format(old=old, new=new)))
        if aligned.rowcount != len(offsets):
            raise Unavailable("the new generation is not where the live one is; try again")
    await connection.execute(text(f"UPDATE {old}.checkpoints SET generation = {number}"))  # noqa: S608
