"""Check that a process works on the log that its read models follow."""

from collections.abc import AsyncIterator

import pytest

from app.errors import WrongLog
from app.positions import MAX_PARTITIONS
from app.settings import Settings
from projections.generations.log_identity import check_size
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.read_models.audit import MOST_PARTITIONS, MOST_RECORDS
from streams.event_log import KafkaEventLog
from streams.same_log import check_same_log
from tests.places import new_place


@pytest.fixture
async def place(kafka_brokers: str, database_url: str) -> Settings:
    return await new_place(kafka_brokers, database_url)


@pytest.fixture
async def database(place: Settings) -> AsyncIterator[Database]:
    database = await open_database(place.database_url, place.schema_name, pool_size=1)
    yield database
    await database.close()


@pytest.fixture
async def log(place: Settings) -> AsyncIterator[KafkaEventLog]:
    log = KafkaEventLog(place.kafka_brokers, place.events_topic, place.partitions)
    yield log
    await log.close()


async def test_own_log_is_accepted(place: Settings, log: KafkaEventLog, database: Database) -> None:
    await check_same_log(place.kafka_brokers, place.events_topic, log, database)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE {control}.log_identity SET cluster_id = 'another'", "of Kafka cluster another"),
        ("UPDATE {control}.log_identity SET partitions = 7", "7 partitions"),
        ("DELETE FROM {control}.log_identity", "do not follow"),
        (
            "UPDATE checkpoints SET next_offset = 5 WHERE partition = 1",
            "lost 5 records: partition 1 ends at 0 of 5",
        ),
    ],
)
async def test_other_log_is_refused(
    place: Settings, log: KafkaEventLog, database: Database, change: str, reason: str
) -> None:
    await database.pool.execute(change.format(control=database.control_schema))
    with pytest.raises(WrongLog, match=reason):
        await check_same_log(place.kafka_brokers, place.events_topic, log, database)


def test_log_that_is_too_large_is_refused() -> None:
    """The audit numbers a record by its partition and its offset, in 63 bits."""
    check_size("events", {0: MOST_RECORDS, 1: 0})
    with pytest.raises(WrongLog, match=r"^partition 1 of events ends at offset 281,474,976,710,657; "):
        check_size("events", {0: 0, 1: 2**48 + 1})
    with pytest.raises(WrongLog, match=r"^events has 32,769 partitions; read models have at most 32,768$"):
        check_size("events", dict.fromkeys(range(2**15 + 1), 0))
    assert MAX_PARTITIONS <= MOST_PARTITIONS
