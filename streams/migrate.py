"""Set-up of a deployment: topics, tables, and a generation of read models of this version."""

from __future__ import annotations

from app.errors import Unavailable
from app.settings import Settings
from projections.generations.lifecycle import set_up, swap
from projections.generations.opening import open_database
from projections.postgres.database import GONE, ensure_database
from projections.rebuild import rebuild
from streams.event_log import KafkaEventLog
from streams.topics import ensure_topics, shapes_of


async def migrate(settings: Settings) -> list[str]:
    """Create or check everything; return lines that report what was found and done.

    Raise `WrongLog` if the log is not the one that the database follows, `Unavailable` if either is
    unavailable.
    """
    identity = await ensure_topics(settings.kafka_brokers, shapes_of(settings))
    await ensure_database(settings.database_url)
    outdated = await set_up(
        settings.database_url, settings.schema_name, identity, has_records=await _has_records(settings)
    )
    lines = [f"topic {identity.topic} with {identity.partitions} partitions: ready"]
    if outdated is None:
        return [*lines, "read models: ready"]
    return [*lines, await fill(settings, outdated)]


async def _has_records(settings: Settings) -> bool:
    event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    try:
        return any((await event_log.ends()).values())
    finally:
        await event_log.close()


async def fill(settings: Settings, number: int) -> str:
    """Fill a generation from the log and make it the live one; return a line that reports it."""
    event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    database = await open_database(
        settings.database_url, settings.schema_name, generation=number, pool_size=2
    )
    try:
        await event_log.start()
        reached = await rebuild(database, event_log)
    except GONE as error:
        raise Unavailable(f"the read models changed while they were filled ({error}); try again") from error
    finally:
        await event_log.close()
        await database.close()
    await swap(settings.database_url, settings.schema_name, number)
    return f"read models: rebuilt as generation {number} from {sum(reached.values())} records"
