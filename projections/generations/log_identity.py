"""The identity of the log that the read models follow, in a control table."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import WrongLog
from projections.postgres.database import Database
from projections.postgres.engines import open_engine
from projections.postgres.tables import log_identity


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The log that read models follow: its topic, its Kafka cluster's id, its number of partitions."""

    topic: str
    cluster_id: str
    partitions: int


async def known_log(database: Database, topic: str) -> LogIdentity | None:
    """Return the log that the read models follow, or None if they follow none of this name."""
    row = await database.pool.fetchrow(
        f'SELECT topic, cluster_id, partitions FROM "{database.control_schema}".log_identity '  # noqa: S608
        "WHERE topic = $1",
        topic,
    )
    return None if row is None else LogIdentity(*row.values())


def check_same(known: LogIdentity, found: LogIdentity) -> None:
    """Compare a log with the one that the read models were built from. Raise `WrongLog`."""
    if known.cluster_id != found.cluster_id:
        raise WrongLog(
            f"this database follows {known.topic} of Kafka cluster {known.cluster_id}, "
            f"but the brokers belong to cluster {found.cluster_id}"
        )
    if known.partitions != found.partitions:
        raise WrongLog(
            f"this database follows {known.topic} with {known.partitions} partitions, "
            f"but the topic has {found.partitions}"
        )


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
