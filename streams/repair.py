"""Repair of a log and its read models after either lost data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.errors import Unavailable, WrongLog
from app.settings import Settings
from projections.generations.lifecycle import begin_generation
from projections.generations.log_adoption import adopt
from projections.generations.log_identity import LogIdentity, check_same, known_log
from projections.generations.opening import NotSetUp, open_database
from projections.postgres.database import DATABASE_UNAVAILABLE, Database, ensure_database
from projections.queries.lost_records import kept_records
from streams.event_log import KafkaEventLog
from streams.log_damage import Damage, find_damage, shared_ends, write_back
from streams.migrate import migrate
from streams.rebuilding import fill
from streams.topics import ensure_topics, shapes_of


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The faults found, in lines for users; `identity` is set if the log is in another cluster now."""

    lines: tuple[str, ...]
    damages: tuple[Damage, ...] = ()
    identity: LogIdentity | None = None
    unfilled: bool = False

    @property
    def sound(self) -> bool:
        """Return whether there is nothing to repair."""
        return not (self.damages or self.identity or self.unfilled)


async def diagnose(settings: Settings) -> Diagnosis:
    """Compare the log with the read models. Create missing topics, and change nothing else.

    Raise `WrongLog` for another deployment's log, `Unavailable` if Kafka or the database is unavailable.
    """
    identity = await ensure_topics(settings.kafka_brokers, shapes_of(settings))
    try:
        async with _stores(settings) as (event_log, database):
            known = await known_log(database, identity.topic)
            empty = not any((await event_log.ends()).values())
            moved = known is not None and known.cluster_id != identity.cluster_id and empty
            if known is not None and not moved:
                check_same(known, identity)
            damages = await find_damage(event_log, database)
            lines = [await _described(database, damage, identity.topic) for damage in damages]
    except NotSetUp as error:
        return Diagnosis((f"there are no read models: {error.detail}",), unfilled=True)
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    if moved:
        lines.insert(0, f"{identity.topic} is empty, in another Kafka cluster than before")
    return Diagnosis(tuple(lines), tuple(damages), identity if moved else None)


async def _described(database: Database, damage: Damage, topic: str) -> str:
    first = await kept_records(database, damage.partition, damage.shared, damage.known, 1)
    last = await kept_records(database, damage.partition, damage.known - 1, damage.known, 1)
    times = " to ".join(each.recorded_at.strftime("%Y-%m-%d %H:%M:%S") for each in (*first, *last))
    place = "other records are in their places" if damage.overwritten else "nothing was written since"
    return (
        f"{topic}, partition {damage.partition}: {damage.lost} records from {damage.shared} on are lost "
        f"({times} UTC), {place}"
    )


async def fix(settings: Settings, diagnosis: Diagnosis) -> list[str]:
    """Repair what was found; return lines that report what was done. An aborted repair can be restarted.

    No worker and no API node may run meanwhile. Raise `WrongLog` or `Unavailable`.
    """
    if diagnosis.unfilled:
        await ensure_database(settings.database_url)
        return await migrate(settings)
    if diagnosis.identity is not None:
        await adopt(settings.database_url, settings.schema_name, diagnosis.identity)
    lines = []
    async with _stores(settings) as (event_log, database):
        await event_log.start()
        for damage in diagnosis.damages:
            placeholders = await write_back(event_log, database, damage)
            where = "at the end of the log" if damage.overwritten else "in their former places"
            lines.append(f"partition {damage.partition}: {damage.lost} records written {where}")
            if placeholders:
                lines.append(f"  {placeholders} of them could not be read before either; they stay parked")
    if any(damage.overwritten for damage in diagnosis.damages):
        identity = await ensure_topics(settings.kafka_brokers, shapes_of(settings))
        number = await begin_generation(
            settings.database_url, settings.schema_name, identity, shared_ends(diagnosis.damages)
        )
        lines.append(await fill(settings, number))
        lines.append("pages and clients that were open have to be loaded again")
    remaining = await diagnose(settings)
    if not remaining.sound:
        raise WrongLog(f"it is not repaired yet: {'; '.join(remaining.lines)}")
    return lines


@asynccontextmanager
async def _stores(settings: Settings) -> AsyncIterator[tuple[KafkaEventLog, Database]]:
    database = await open_database(settings.database_url, settings.schema_name, pool_size=2)
    event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    try:
        yield event_log, database
    finally:
        await event_log.close()
        await database.close()
