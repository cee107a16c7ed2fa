"""Group consumer: the group's offsets follow the checkpoints, whatever happens between seeks and commits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.types import TP

from app.settings import Settings
from streams.agents import create_faust_app
from streams.group_consumer import CheckpointConsumer
from tests.waiting import eventually

TOPIC = "task-events"


class Kafka:
    """A consumer of aiokafka, with the offsets that the broker keeps. `gate` holds commits back."""

    def __init__(self, partitions: Collection[int]) -> None:
        self.assigned = {TopicPartition(TOPIC, partition) for partition in partitions}
        self.sought: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.commits: list[dict[int, int]] = []
        self.refused = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def assignment(self) -> set[TopicPartition]:
        """Return the assigned partitions."""
        return self.assigned

    def seek(self, where: TopicPartition, offset: int) -> None:
        """Record the seek."""
        self.sought[where.partition] = offset

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit once the gate is open, or refuse."""
        commit = {where.partition: offset.offset for where, offset in offsets.items()}
        self.commits.append(commit)
        await self.gate.wait()
        if self.refused:
            self.refused -= 1
            raise CommitFailedError
        self.committed |= commit


class Thread:
    """The thread of Faust's consumer, run in this one."""

    should_stop = False

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    def _ensure_consumer(self) -> Kafka:
        return self._kafka

    def assignment(self) -> set[TP]:
        """Return the assigned partitions, as Faust names them."""
        return {TP(*where) for where in self._kafka.assigned}

    async def call_thread(self, call: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Call at once. Raise what the thread raises once its loop is closed."""
        if self.should_stop:
            raise RuntimeError("Event loop is closed")
        return await call(*args)


class Loop:
    """A projection loop with checkpoints that the test sets."""

    def __init__(self, checkpoints: dict[int, int]) -> None:
        self.checkpoints = checkpoints

    async def places(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the checkpoints."""
        return {partition: self.checkpoints[partition] for partition in partitions}


@pytest.fixture
async def kafka() -> Kafka:
    return Kafka([0, 1])


@pytest.fixture
async def loop() -> Loop:
    return Loop({0: 150, 1: 40})


@pytest.fixture
async def consumer(kafka: Kafka, loop: Any) -> CheckpointConsumer:
    settings = Settings.from_environment({"DATABASE_URL": "postgresql://nowhere/x", "JWT_SECRET": "s" * 32})
    consumer: Any = create_faust_app(settings, loop, lambda _: None).consumer
    consumer._thread = Thread(kafka)
    return consumer  # type: ignore[no-any-return]


async def test_commit_that_ends_after_a_seek_holds_no_later_offset_back(
    consumer: CheckpointConsumer, kafka: Kafka, loop: Loop
) -> None:
    """A bulk catch-up takes less time than a commit may take."""
    kafka.gate.clear()
    early = asyncio.create_task(consumer.commit_places([0, 1]))
    await eventually(lambda: bool(kafka.commits))
    loop.checkpoints[0] = 2_250
    await consumer.seek_to_places([0])
    kafka.gate.set()
    await early
    assert kafka.committed == {0: 150, 1: 40}
    await consumer.commit_places([0, 1])
    assert kafka.committed == {0: 2_250, 1: 40}
    loop.checkpoints[0] = 2_253
    await consumer.commit_places([0, 1])
    assert kafka.committed == {0: 2_253, 1: 40}


async def test_failed_commit_is_repeated_without_any_new_record(
    consumer: CheckpointConsumer, kafka: Kafka
) -> None:
    await consumer.seek_to_places([0, 1])
    kafka.refused = 1
    with pytest.raises(CommitFailedError):
        await consumer.commit_places([0, 1])
    await consumer.commit_places([0, 1])
    assert kafka.committed == {0: 150, 1: 40}


async def test_offsets_are_committed_once(consumer: CheckpointConsumer, kafka: Kafka, loop: Loop) -> None:
    await consumer.commit_places([0, 1])
    await consumer.commit_places([0, 1])
    loop.checkpoints[1] = 41
    await consumer.commit_places([0, 1])
    assert kafka.commits == [{0: 150, 1: 40}, {1: 41}]


async def test_checkpoint_that_a_crash_of_the_database_set_back_is_committed(
    consumer: CheckpointConsumer, kafka: Kafka, loop: Loop
) -> None:
    await consumer.commit_places([0])
    loop.checkpoints[0] = 149
    await consumer.commit_places([0])
    assert kafka.committed == {0: 149}


async def test_partition_of_another_worker_is_neither_sought_nor_committed(
    consumer: CheckpointConsumer, kafka: Kafka
) -> None:
    """The projection loop hears of it a little later."""
    kafka.assigned.remove(TopicPartition(TOPIC, 1))
    await consumer.seek_to_places([0, 1])
    await consumer.commit_places([0, 1])
    assert kafka.sought == kafka.committed == {0: 150}


async def test_assigned_partitions_are_sought_and_committed_again(
    consumer: CheckpointConsumer, kafka: Kafka
) -> None:
    """Another worker, or an operator, may have committed anything meanwhile."""
    await consumer.commit_places([0, 1])
    kafka.committed = {0: 0, 1: 0}
    await consumer.perform_seek()
    assert kafka.sought == {0: 150, 1: 40}
    await consumer.commit_places([0, 1])
    assert kafka.committed == {0: 150, 1: 40}


async def test_stopped_consumer_is_not_used(consumer: Any, kafka: Kafka) -> None:
    """Faust may stop before the worker has ended all that runs beside it."""
    consumer._thread.should_stop = True
    await consumer.seek_to_places([0])
    await consumer.commit_places([0])
    assert not kafka.sought
    assert not kafka.commits


async def test_faust_keeps_no_account_of_records(consumer: CheckpointConsumer) -> None:
    """It would commit what they tell, which stands still after a seek, and would remember each gap."""
    [channel] = {agent.channel for agent in consumer.app.agents.values()}
    assert not channel.acks
