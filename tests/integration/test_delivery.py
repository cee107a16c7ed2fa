"""Delivery: the worker resumes from its checkpoints, after bulk projecting and whatever offsets are
committed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError

from app.lists.events import ListCreated
from app.settings import Settings
from app.tasks.events import TaskCreated
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.queries.workers import Workers
from streams.agents import group_of
from streams.event_log import KafkaEventLog
from streams.projection_loop import FAR_BEHIND
from tests.integration.stack import Part, Stack
from tests.spec import LIST_ID, record_of
from tests.truth import check_place, wait_until_projected
from tests.waiting import LIMIT_S, eventually

CATCH_UPS = 10
AT_ONCE_S = 8.0
"""Less than a session of the group lasts: nothing waited for the end of one."""


@pytest.fixture(scope="module")
def stack(kafka_brokers: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(kafka_brokers, database_url, tmp_path_factory.mktemp("delivery"))
    stack.migrate()
    yield stack
    stack.stop()


@pytest.fixture
def settings(stack: Stack) -> Settings:
    return Settings.from_environment(stack.environment)


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[KafkaEventLog]:
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    await log.start()
    yield log
    await log.close()


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = await open_database(settings.database_url, settings.schema_name, pool_size=2)
    yield database
    await database.close()


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Part:
    return stack.start_worker()


async def append_backlog(log: KafkaEventLog, partition: int, number: int) -> None:
    """Append the creations of this number of tasks to one partition."""
    streams = (f"task:{uuid4()}" for _ in count())
    here = (stream for stream in streams if log.partition_of(stream) == partition)
    await log.append(
        [record_of(TaskCreated(LIST_ID, "t"), 1, id=str(uuid4()), stream=next(here)) for _ in range(number)]
    )


async def committed(settings: Settings) -> dict[int, int]:
    """Return the committed offsets of the workers' group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(settings.kafka_brokers))
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group_of(settings))
    finally:
        await admin.close()
    return {where.partition: found.offset for where, found in offsets.items()}


async def seconds_until_projected(log: KafkaEventLog, database: Database) -> float:
    """Return the seconds until the row of one new record exists."""
    stream = f"task:{uuid4()}"
    began_s = time.monotonic()
    await log.append([record_of(TaskCreated(LIST_ID, "t"), 1, id=str(uuid4()), stream=stream)])

    async def is_there() -> bool:
        return bool(
            await database.pool.fetchval("SELECT true FROM tasks WHERE id = $1", stream.partition(":")[2])
        )

    await eventually(is_there)
    return time.monotonic() - began_s


async def test_repeated_bulk_catch_ups_leave_the_worker_running_with_offsets_at_the_end(
    worker: Part, settings: Settings, log: KafkaEventLog, database: Database
) -> None:
    """Each of them seeks, while records are being delivered."""
    # Else policies would have something to say about each task, and the log had no end.
    await log.append([record_of(ListCreated("Home"), 1, stream=f"list:{LIST_ID}")])
    for number in range(CATCH_UPS):
        await append_backlog(log, number % settings.partitions, FAR_BEHIND + 100)
        await append_backlog(log, (number + 1) % settings.partitions, 3)
    await wait_until_projected(settings)
    assert worker.process.poll() is None, worker.tail()
    assert "catching up" in worker.log.read_text()
    assert "Traceback" not in worker.log.read_text()

    async def is_committed() -> bool:
        ends = await log.ends()
        return await committed(settings) == {partition: end for partition, end in ends.items() if end}

    await eventually(is_committed, LIMIT_S, "the committed offsets did not reach the end")
    assert await seconds_until_projected(log, database) < AT_ONCE_S


async def test_restart_delivers_nothing_twice_and_projects_new_records_at_once(
    stack: Stack, worker: Part, settings: Settings, log: KafkaEventLog, database: Database
) -> None:
    """Even if the group has committed nothing: the checkpoints count."""
    worker.stop()
    await commit_nothing(settings)
    stack.start_worker()
    assert await seconds_until_projected(log, database) < AT_ONCE_S
    [report] = await Workers(database).read()
    assert report.ready
    assert report.figures["already_done"] == 0
    await wait_until_projected(settings)
    await check_place(settings)


async def commit_nothing(settings: Settings) -> None:
    """Reset the group's offsets to the log's beginning, once its member's session has ended."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(settings.kafka_brokers), group_id=group_of(settings), enable_auto_commit=False
    )
    await consumer.start()
    beginning = {TopicPartition(settings.events_topic, each): 0 for each in range(settings.partitions)}
    consumer.assign(list(beginning))

    async def is_taken() -> bool:
        try:
            await consumer.commit(beginning)
        except CommitFailedError:
            return False
        return True

    try:
        await eventually(is_taken, LIMIT_S, "the worker's session did not end")
    finally:
        await consumer.stop()
