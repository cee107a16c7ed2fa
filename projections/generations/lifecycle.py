"""The life of a generation: it is created, filled from the log, made live, and retired.

Read models are disposable: they are never altered in place. A generation of another version stays unchanged
while a new one is filled from the log (`rebuild.py`), and is then replaced by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, func, insert, inspect, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema, DropSchema

from app.errors import Unavailable
from projections.generations.log_identity import LogIdentity, record_identity, replace_identity
from projections.postgres.database import generation_schema
from projections.postgres.engines import open_engine
from projections.postgres.tables import checkpoints, control, generations, policy_checkpoints, read_models
from projections.read_models.registry import GENERATION_TABLES, READ_MODELS_VERSION

_MIGRATION_LOCK = 7_461_736_274


async def set_up(
    url: str, control_schema: str, identity: LogIdentity, *, has_records: bool = False
) -> int | None:
    """Create what is missing, check the identity of the log, and ensure that a live generation exists.

    A first generation is live at once, unless the log `has_records`: then it must be filled first. A
    generation that lost tables counts as one of another version. Several processes may call this at once.
    Return the number of the generation that must be rebuilt, or None if the live one is of this version.
    Raise `WrongLog` or `Unavailable`.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            await connection.execute(CreateSchema(control_schema, if_not_exists=True))
            await connection.run_sync(control.create_all)
            await record_identity(connection, identity)
            return await _ensure_generation(
                connection, control_schema, identity.partitions, at_once=not has_records
            )
    except (OSError, DBAPIError) as error:
        raise Unavailable(f"the database cannot be set up: {_first_line(error)}") from error
    finally:
        await engine.dispose()


def _first_line(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    return str(origin).strip().partition("\n")[0]


async def _ensure_generation(
    connection: AsyncConnection, control_schema: str, partitions: int, *, at_once: bool
) -> int | None:
    live = (await connection.execute(select(generations).where(generations.c.status == "live"))).one_or_none()
    if (
        live is not None
        and live.version == READ_MODELS_VERSION
        and not await _lacks_tables(connection, generation_schema(control_schema, live.number))
    ):
        return None
    begun = generations.c.status == "building", generations.c.version == READ_MODELS_VERSION
    building = (await connection.execute(select(generations.c.number).where(*begun))).scalar()
    if building is not None:
        schema = generation_schema(control_schema, building)
        if await _lacks_tables(connection, schema):
            await connection.execute(DropSchema(schema, cascade=True, if_exists=True))
            await create_generation(connection, control_schema, building, partitions)
        return int(building)
    is_live = live is None and at_once
    number = await _next_generation(connection, control_schema, partitions, "live" if is_live else "building")
    return None if is_live else number


async def _lacks_tables(connection: AsyncConnection, schema: str) -> bool:
    there = await connection.run_sync(lambda each: inspect(each).get_table_names(schema))
    return not set(there) >= {table.name for table in GENERATION_TABLES}


async def _next_generation(
    connection: AsyncConnection, control_schema: str, partitions: int, status: str
) -> int:
    number: int = ((await connection.execute(select(func.max(generations.c.number)))).scalar() or 0) + 1
    await create_generation(connection, control_schema, number, partitions)
    await connection.execute(
        insert(generations).values(
            number=number, version=READ_MODELS_VERSION, status=status, created_at=func.now()
        )
    )
    return number


async def begin_generation(
    url: str, control_schema: str, identity: LogIdentity, policies_from: Mapping[int, int]
) -> int:
    """Begin another generation, to be filled from a log that has changed; return its number.

    Record the log's new identity, and make policies react from these offsets of its partitions on.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            await connection.execute(delete(generations).where(generations.c.status == "building"))
            for partition, offset in policies_from.items():
                await connection.execute(
                    update(policy_checkpoints)
                    .where(policy_checkpoints.c.partition == partition)
                    .values(next_offset=func.least(policy_checkpoints.c.next_offset, offset))
                )
            await replace_identity(connection, identity)
            return await _next_generation(connection, control_schema, identity.partitions, "building")
    finally:
        await engine.dispose()


async def create_generation(
    connection: AsyncConnection, control_schema: str, number: int, partitions: int
) -> None:
    """Create the schema, the empty tables and the checkpoints (at offset 0) of a generation."""
    schema = generation_schema(control_schema, number)
    await connection.execute(CreateSchema(schema, if_not_exists=True))
    inside = await connection.execution_options(schema_translate_map={None: schema})
    await inside.run_sync(read_models.create_all, tables=GENERATION_TABLES)
    await inside.execute(
        upsert(checkpoints)
        .values([{"partition": p, "next_offset": 0, "emitted_offset": 0} for p in range(partitions)])
        .on_conflict_do_nothing()
    )
    await connection.execution_options(schema_translate_map={None: control_schema})


async def swap(url: str, control_schema: str, number: int) -> None:
    """Make generation `number` the live one, in one transaction; retire the former one.

    A live generation that lost tables gives its number to the new one, so that its users continue with that.
    If another process was faster, do nothing.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            status = select(generations.c.status).where(generations.c.number == number)
            if (await connection.execute(status)).scalar() != "building":
                return
            live = await _lost(connection, control_schema)
            if live is not None:
                await _exchange(connection, control_schema, live, number)
                return
            await connection.execute(
                update(generations).where(generations.c.status == "live").values(status="retired")
            )
            await connection.execute(
                update(generations).where(generations.c.number == number).values(status="live")
            )
    finally:
        await engine.dispose()


async def _lost(connection: AsyncConnection, control_schema: str) -> int | None:
    """Return the number of the live generation if it is of this version and lacks tables."""
    live = generations.c.status == "live", generations.c.version == READ_MODELS_VERSION
    number: int | None = (await connection.execute(select(generations.c.number).where(*live))).scalar()
    if number is None or not await _lacks_tables(connection, generation_schema(control_schema, number)):
        return None
    return number


async def _exchange(connection: AsyncConnection, control_schema: str, live: int, number: int) -> None:
    """Exchange the numbers of two generations; retire the one that is no longer live."""
    here, there = (f'"{generation_schema(control_schema, each)}"' for each in (live, number))
    between = f'"{control_schema}_between"'
    await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {here}"))
    for old, new in ((here, between), (there, here), (between, there)):
        await connection.execute(text(f"ALTER SCHEMA {old} RENAME TO {new}"))
    await connection.execute(
        update(generations).where(generations.c.number == number).values(status="retired")
    )
