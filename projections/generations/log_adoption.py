"""The recording of the log that the read models follow, at set-up and after a repair."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from projections.generations.log_identity import LogIdentity, check_same
from projections.postgres.engines import open_engine
from projections.postgres.tables import log_identity


async def record_identity(connection: AsyncConnection, identity: LogIdentity) -> None:
    """Record the log's identity, or compare it with the recorded one. Raise `WrongLog`."""
    await connection.execute(
        upsert(log_identity)
        .values(topic=identity.topic, cluster_id=identity.cluster_id, partitions=identity.partitions)
        .on_conflict_do_nothing()
    )
    row = (await connection.execute(select(log_identity).where(log_identity.c.topic == identity.topic))).one()
    check_same(LogIdentity(row.topic, row.cluster_id, row.partitions), identity)


async def adopt(url: str, control_schema: str, identity: LogIdentity) -> None:
    """Record this log as the one to follow from now on."""
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            await replace_identity(connection, identity)
    finally:
        await engine.dispose()


async def replace_identity(connection: AsyncConnection, identity: LogIdentity) -> None:
    """Record this log in place of the former one."""
    values = {"cluster_id": identity.cluster_id, "partitions": identity.partitions}
    await connection.execute(
        upsert(log_identity)
        .values(topic=identity.topic, **values)
        .on_conflict_do_update(index_elements=["topic"], set_=values)
    )
