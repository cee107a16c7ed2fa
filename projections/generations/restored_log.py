"""The database around a backup: policies' checkpoints for it, and an empty database for a restore."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import asyncpg
from sqlalchemy import Connection, delete, func, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema

from app.errors import Unavailable, WrongLog
from projections.generations.lifecycle import drop_generation
from projections.generations.log_identity import LogIdentity
from projections.postgres.database import ensure_database
from projections.postgres.engines import first_line, open_engine
from projections.postgres.live_generation import generation_schema
from projections.postgres.tables import (
    FRESH_S,
    checkpoints,
    control,
    generations,
    log_identity,
    policy_checkpoints,
    workers,
)

DATABASE_FAILURES = (OSError, DBAPIError, asyncpg.PostgresError)
"""The errors of SQLAlchemy, and those of asyncpg while it connects."""


async def known_policies(url: str, control_schema: str, identity: LogIdentity) -> Mapping[int, int] | None:
    """Return the offset up to which policies have reacted to each partition of a log.

    Return None if the database is unavailable or follows another log. It may be of another release.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.connect() as connection:
            known = select(log_identity.c.cluster_id).where(log_identity.c.topic == identity.topic)
            if (await connection.execute(known)).scalar() != identity.cluster_id:
                return None
            rows = {
                row.partition: row.next_offset for row in await connection.execute(select(policy_checkpoints))
            }
            return {partition: rows.get(partition, 0) for partition in range(identity.partitions)}
    except DATABASE_FAILURES:
        return None
    finally:
        await engine.dispose()


async def check_empty(url: str, control_schema: str) -> None:
    """Check that no read models are filled, and that no worker runs; a missing database is created.

    Raise `WrongLog` and `Unavailable`.
    """
    engine = open_engine(url, control_schema)
    try:
        await ensure_database(url)
        async with engine.begin() as connection:
            await _check_empty(connection, control_schema)
    except DATABASE_FAILURES as error:
        raise Unavailable(f"the database cannot be reached: {first_line(error)}") from error
    finally:
        await engine.dispose()


async def forget_read_models(url: str, control_schema: str, policies: Mapping[int, int] | None) -> None:
    """Drop the empty read models, so that the next start fills new ones from the restored log.

    Policies continue at these offsets, so that they do not react again. Raise as `check_empty` does.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            await connection.execute(CreateSchema(control_schema, if_not_exists=True))
            await connection.run_sync(control.create_all)
            for number in await _check_empty(connection, control_schema):
                await drop_generation(connection, control_schema, number)
            for table in (generations, log_identity, policy_checkpoints):
                await connection.execute(delete(table))
            if policies:
                rows = [{"partition": each, "next_offset": offset} for each, offset in policies.items()]
                await connection.execute(insert(policy_checkpoints).values(rows))
    except DATABASE_FAILURES as error:
        raise Unavailable(f"the database cannot be changed: {first_line(error)}") from error
    finally:
        await engine.dispose()


async def _check_empty(connection: AsyncConnection, control_schema: str) -> list[int]:
    """Return the numbers of the generations, all of them empty. Raise `WrongLog`."""
    there = await connection.run_sync(lambda each: inspect(each).get_table_names(control_schema))
    if workers.name in there:
        fresh = workers.c.seen_at > func.clock_timestamp() - text(f"interval '{FRESH_S} seconds'")
        running = (await connection.execute(select(workers.c.slot).where(fresh))).scalars().all()
        if running:
            raise WrongLog(f"the worker {running[0]} runs: stop all workers and API nodes first")
    if generations.name not in there:
        return []
    numbers = (await connection.execute(select(generations.c.number))).scalars().all()
    for number in numbers:
        schema = generation_schema(control_schema, number)
        if not await connection.run_sync(partial(_has_checkpoints, schema)):
            continue
        total = func.coalesce(func.sum(checkpoints.c.next_offset), 0)
        inside = await connection.execution_options(schema_translate_map={None: schema})
        count = (await inside.execute(select(total))).scalar()
        await connection.execution_options(schema_translate_map={None: control_schema})
        if count:
            raise WrongLog(f"the database has read models of {count:,} records: a restore needs an empty one")
    return list(numbers)


def _has_checkpoints(schema: str, connection: Connection) -> bool:
    return inspect(connection).has_table(checkpoints.name, schema)
