"""Creation of topics, and refusal of other configurations."""

from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.errors import Unavailable, WrongLog
from app.settings import Settings
from app.tasks.events import TaskCreated
from streams.event_log import KafkaEventLog
from streams.migrate import migrate
from streams.topics import (
    COMPRESSION,
    await_visible,
    ensure_topics,
    events_topic,
    open_admin,
    signals_topic,
    topic_config,
    updates_topic,
)
from tests.places import new_environment
from tests.spec import LIST_ID, record_of


async def test_topics_are_created_once_and_recognised(kafka_brokers: str) -> None:
    name = uuid4().hex
    shapes = [
        events_topic(f"e-{name}", 3, 1),
        updates_topic(f"u-{name}", 3, 1),
        signals_topic(f"s-{name}", 1),
    ]
    first = await ensure_topics([kafka_brokers], shapes)
    assert await ensure_topics([kafka_brokers], shapes) == first
    assert (first.topic, first.partitions) == (f"e-{name}", 3)
    assert first.cluster_id


async def test_topics_are_compressed_also_those_that_exist_already(kafka_brokers: str) -> None:
    """Other settings of a topic stay; records from before and after are read alike."""
    name = uuid4().hex
    shapes = [events_topic(f"e-{name}", 1, 1), updates_topic(f"u-{name}", 1, 1)]
    log = KafkaEventLog([kafka_brokers], f"e-{name}", 1)
    async with open_admin([kafka_brokers]) as admin:
        for shape in shapes:
            former = {**shape.config, COMPRESSION: "producer", "segment.bytes": "1048576"}
            await admin.create_topics([NewTopic(shape.name, 1, 1, topic_configs=former)])
        await await_visible(admin, [shape.name for shape in shapes])
        await log.append([record_of(TaskCreated(LIST_ID, "before"), 1)])
        await ensure_topics([kafka_brokers], shapes)
        await log.append([record_of(TaskCreated(LIST_ID, "after"), 2)])
        found = [(await topic_config(admin, shape.name))[1] for shape in shapes]
    assert [(each[COMPRESSION], each["segment.bytes"]) for each in found] == [
        ("zstd", "1048576"),
        ("lz4", "1048576"),
    ]
    read = [raw.decode().data for batch in [each async for each in log.read(0, 0, 2)] for raw in batch]
    assert read == [TaskCreated(LIST_ID, "before"), TaskCreated(LIST_ID, "after")]
    await log.close()


async def test_other_number_of_partitions_is_refused(kafka_brokers: str) -> None:
    name = f"e-{uuid4().hex}"
    await ensure_topics([kafka_brokers], [events_topic(name, 3, 1)])
    with pytest.raises(WrongLog, match="has 3 partitions, but 4 are configured"):
        await ensure_topics([kafka_brokers], [events_topic(name, 4, 1)])


async def test_signals_have_one_partition(kafka_brokers: str) -> None:
    name = f"s-{uuid4().hex}"
    await ensure_topics([kafka_brokers], [updates_topic(name, 3, 1)])
    with pytest.raises(WrongLog, match="has 3 partitions, but 1 are configured; delete the topic"):
        await ensure_topics([kafka_brokers], [signals_topic(name, 1)])


async def test_log_with_retention_is_refused(kafka_brokers: str) -> None:
    name = f"e-{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_brokers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 3, 1, topic_configs={"cleanup.policy": "compact"})])
    await admin.close()
    with pytest.raises(WrongLog, match=r"cleanup\.policy=compact"):
        await ensure_topics([kafka_brokers], [events_topic(name, 3, 1)])


async def test_missing_broker_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="Kafka cannot be reached"):
        await ensure_topics(["127.0.0.1:9"], [events_topic("e", 1, 1)])


async def test_migrate_may_be_repeated(kafka_brokers: str, database_url: str) -> None:
    settings = Settings.from_environment(new_environment(kafka_brokers, database_url))
    assert await migrate(settings) == await migrate(settings)


async def test_read_models_refuse_a_log_with_other_partitions(kafka_brokers: str, database_url: str) -> None:
    environment = new_environment(kafka_brokers, database_url)
    await migrate(Settings.from_environment(environment))
    other = {**environment, "TASKTAPE_PARTITIONS": "7"}
    with pytest.raises(WrongLog, match="partitions"):
        await migrate(Settings.from_environment(other))


async def test_missing_database_is_unavailable(kafka_brokers: str) -> None:
    environment = new_environment(kafka_brokers, "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(Unavailable, match="database"):
        await migrate(Settings.from_environment(environment))
