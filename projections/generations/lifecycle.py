"""The life of a generation until it is live: the control tables are set up, and it is created empty.

Read models are disposable: they are never altered in place. A generation of another version stays unchanged
while a new one is filled beside it (`projections.rebuild`), and is then replaced by it (`swap.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, func, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable, DropSchema

from app.errors import Unavailable
from projections.generations import contents
from projections.generations.contents import LoadedFrom, from_the_start
from projections.generations.fingerprints import version_of_all
from projections.generations.log_adoption import record_identity, replace_identity
from projections.generations.log_identity import LogIdentity
from projections.generations.migration_lock import hold_migration_lock
from projections.generations.rights import grant_rights, restore_rights
from projections.postgres.engines import first_line, open_engine
from projections.postgres.live_generation import generation_schema, views_schema
from projections.postgres.tables import checkpoints, control, generations, load_progress, policy_checkpoints
from projections.read_models.registry import BY_NAME, GENERATION_TABLES, LATE_INDEXES

NO_AUTOVACUUM = "autovacuum_enabled = off"
"""The setting of tables that are loaded: they only grow, and are analysed after the load."""


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
            await hold_migration_lock(connection)
            await connection.execute(CreateSchema(control_schema, if_not_exists=True))
            await connection.run_sync(control.create_all)
            await restore_rights(connection, control_schema)
            await record_identity(connection, identity)
            return await _ensure_generation(
                connection, control_schema, identity.partitions, at_once=not has_records
            )
    except (OSError, DBAPIError) as error:
        raise Unavailable(f"the database cannot be set up: {first_line(error)}") from error
    finally:
        await engine.dispose()


async def _ensure_generation(
    connection: AsyncConnection, control_schema: str, partitions: int, *, at_once: bool
) -> int | None:
    if await live_of_this_version(connection, control_schema) is not None:
        return None
    live = select(func.max(generations.c.number)).where(generations.c.status == "live")
    former: int | None = (await connection.execute(live)).scalar()
    if former is None and at_once and await _newest(connection, "building") is None:
        everything = from_the_start(BY_NAME, partitions)
        await _next_generation(connection, control_schema, "live", everything, partitions)
        return None
    names = set(BY_NAME)
    if former is not None:
        names = await contents.outdated(connection, generation_schema(control_schema, former))
    return await _building(connection, control_schema, from_the_start(names, partitions), partitions)


async def live_of_this_version(connection: AsyncConnection, control_schema: str) -> int | None:
    """Return the number of the live generation, if it is of this version and complete."""
    number = await _newest(connection, "live")
    if number is None or await lacks_tables(connection, generation_schema(control_schema, number)):
        return None
    return number


async def _newest(connection: AsyncConnection, status: str) -> int | None:
    """Return the newest generation of this version with a status, if there is one."""
    wanted = generations.c.status == status, generations.c.version == version_of_all()
    number: int | None = (
        await connection.execute(select(func.max(generations.c.number)).where(*wanted))
    ).scalar()
    return number


async def _building(
    connection: AsyncConnection, control_schema: str, loaded: LoadedFrom, partitions: int
) -> int:
    """Return the generation with these contents that is being built; create it if it was not begun."""
    number = await _newest(connection, "building")
    if number is None:
        return await _next_generation(connection, control_schema, "building", loaded, partitions)
    schema = generation_schema(control_schema, number)
    if await lacks_tables(connection, schema) or await contents.read(connection, schema) != loaded:
        await _create_generation(connection, control_schema, number, loaded, partitions, is_loaded=True)
    return number


async def begin_rebuild(
    url: str, control_schema: str, partitions: int, loaded: LoadedFrom | None = None
) -> int | None:
    """Begin another generation beside the live one, or return to one that was begun; return its number.

    It loads all read models from the log, or those of `loaded`, and copies the others. Return None if no
    complete generation of this version is live, which `set_up` then reports.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            await hold_migration_lock(connection)
            if await live_of_this_version(connection, control_schema) is None:
                return None
            loaded = loaded or from_the_start(BY_NAME, partitions)
            return await _building(connection, control_schema, loaded, partitions)
    finally:
        await engine.dispose()


async def begin_again(url: str, control_schema: str, number: int, partitions: int) -> None:
    """Begin a generation again, which then loads all read models from the log."""
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            everything = from_the_start(BY_NAME, partitions)
            await _create_generation(
                connection, control_schema, number, everything, partitions, is_loaded=True
            )
    finally:
        await engine.dispose()


async def lacks_tables(connection: AsyncConnection, schema: str) -> bool:
    """Return True if a generation with this schema is not complete."""

    def tables(each: Connection) -> set[str]:
        return set(inspect(each).get_table_names(schema))

    return not await connection.run_sync(tables) >= {table.name for table in GENERATION_TABLES}


async def _next_generation(
    connection: AsyncConnection, control_schema: str, status: str, loaded: LoadedFrom, partitions: int
) -> int:
    number = await _last_number(connection, control_schema) + 1
    is_loaded = status == "building"
    await _create_generation(connection, control_schema, number, loaded, partitions, is_loaded=is_loaded)
    await connection.execute(
        insert(generations).values(
            number=number, version=version_of_all(), status=status, created_at=func.now()
        )
    )
    return number


async def _last_number(connection: AsyncConnection, control_schema: str) -> int:
    """Return the highest number in use, also by a schema whose control tables were lost."""
    schemas = await connection.execute(
        text("SELECT max(substr(nspname, :start)::int) FROM pg_namespace WHERE nspname ~ :pattern"),
        {"start": len(generation_schema(control_schema, 1)), "pattern": f"^{control_schema}_g[0-9]{{1,9}}$"},
    )
    numbers = await connection.execute(select(func.max(generations.c.number)))
    return max(schemas.scalar() or 0, numbers.scalar() or 0)


async def begin_generation(
    url: str, control_schema: str, identity: LogIdentity, policies_from: Mapping[int, int]
) -> int:
    """Begin another generation, to be filled from a log that has changed; return its number.

    Record the log's new identity, and make policies react from these offsets of its partitions on.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            await hold_migration_lock(connection)
            await connection.execute(delete(generations).where(generations.c.status == "building"))
            for partition, offset in policies_from.items():
                await connection.execute(
                    update(policy_checkpoints)
                    .where(policy_checkpoints.c.partition == partition)
                    .values(next_offset=func.least(policy_checkpoints.c.next_offset, offset))
                )
            await replace_identity(connection, identity)
            everything = from_the_start(BY_NAME, identity.partitions)
            return await _next_generation(
                connection, control_schema, "building", everything, identity.partitions
            )
    finally:
        await engine.dispose()


async def _create_generation(
    connection: AsyncConnection,
    control_schema: str,
    number: int,
    loaded: LoadedFrom,
    partitions: int,
    *,
    is_loaded: bool,
) -> None:
    """Create the schema, the empty tables and the checkpoints (at offset 0) of a generation.

    A damaged one is dropped. One that `is_loaded` in bulk gets most of its indexes later, and autovacuum too.
    """
    schema = generation_schema(control_schema, number)
    await drop_generation(connection, control_schema, number)
    await connection.execute(CreateSchema(schema))
    inside = await connection.execution_options(schema_translate_map={None: schema})
    for table in GENERATION_TABLES:
        await inside.execute(CreateTable(table))
        if is_loaded:
            await connection.execute(text(f'ALTER TABLE "{schema}"."{table.name}" SET ({NO_AUTOVACUUM})'))
        for index in table.indexes:
            if not (is_loaded and index in LATE_INDEXES):
                await inside.execute(CreateIndex(index))
    await contents.write(connection, schema, loaded)
    beginning = {"next_offset": 0, "emitted_offset": 0, "generation": number}
    await inside.execute(
        insert(checkpoints).values([{"partition": p, **beginning} for p in range(partitions)])
    )
    if is_loaded:
        await inside.execute(CreateTable(load_progress))
        nothing = {"next_offset": 0, "finished": False}
        await inside.execute(
            insert(load_progress).values([{"partition": p, **nothing} for p in range(partitions)])
        )
    await connection.execution_options(schema_translate_map={None: control_schema})
    await grant_rights(connection, control_schema, number)


async def drop_generation(connection: AsyncConnection, control_schema: str, number: int) -> None:
    """Drop the tables and the views of a generation, if it has any."""
    for schema in (views_schema(control_schema, number), generation_schema(control_schema, number)):
        await connection.execute(DropSchema(schema, cascade=True, if_exists=True))


async def drop_all_but_live(url: str, control_schema: str) -> Sequence[int]:
    """Drop the generations that are not live; return their numbers. Raise `Unavailable`."""
    engine = open_engine(url, control_schema)
    dropped = []
    try:
        async with engine.connect() as connection:
            others = select(generations.c.number).where(generations.c.status != "live").order_by("number")
            numbers = (await connection.execute(others)).scalars().all()
        for number in numbers:
            # The row last: a generation without a row would never be dropped.
            async with engine.begin() as connection:
                await drop_generation(connection, control_schema, number)
                await connection.execute(delete(generations).where(generations.c.number == number))
            dropped.append(number)
    except (OSError, DBAPIError) as error:
        raise Unavailable(f"the read models cannot be dropped: {first_line(error)}") from error
    finally:
        await engine.dispose()
    return dropped
