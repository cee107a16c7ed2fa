"""Copies records of the log into another topic, as they are: with their keys, values, headers and times."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, OffsetOutOfRangeError
from cachetools import LRUCache

from app.errors import Forbidden, Malformed, Unavailable, WrongLog
from app.positions import Position
from app.settings import Settings
from streams.producing import Message, TopicProducer, partition_of
from streams.topics import MIB, TopicShape, await_visible, create_missing, open_admin

READ_AT_ONCE = 1_000
READ_LIMIT_S = 15.0
CACHE_BYTES = 64 * MIB
"""Records that were read and may be needed soon: the events of an imported list lie all over the log."""
WRITTEN_AT_ONCE = 500
FLUSH_S = 0.1
RECORD_BYTES = 200
"""About the size of a record in memory, without its contents."""
_NAME = re.compile(r"^[a-zA-Z0-9._-]{1,249}\Z")


def check_target(settings: Settings, topic: str) -> None:
    """Check the name of a topic to copy into. Raise `Malformed`, or `Forbidden` for a topic of Tasktape."""
    if not _NAME.match(topic) or topic in {".", ".."}:
        raise Malformed(f"{topic!r} is not the name of a topic: use letters, digits, dots, - and _")
    if topic.startswith("__") or topic in {
        settings.events_topic,
        settings.updates_topic,
        settings.signals_topic,
        settings.tree_heads_topic,
    }:
        raise Forbidden(f"{topic} belongs to Tasktape or Kafka: copy into another topic")


class RecordReader:
    """Reads single records of the log by position; their neighbours are read too, and kept for a while."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.events_topic
        self._cache: LRUCache[Position, ConsumerRecord] = LRUCache(CACHE_BYTES, _size)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(settings.kafka_brokers),
            client_id="tasktape-copy",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
        )

    async def start(self) -> None:
        """Connect. Raise `Unavailable`."""
        try:
            await self._consumer.start()
        except (OSError, KafkaError) as error:
            raise Unavailable(f"Kafka cannot be reached: {error}") from error

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def at(self, position: Position) -> ConsumerRecord:
        """Return the record at a position. Raise `WrongLog` if there is none, or `Unavailable`."""
        found = self._cache.get(position)
        if found is None:
            found = await self._read(position)
        return found

    async def _read(self, position: Position) -> ConsumerRecord:
        where = TopicPartition(self._topic, position.partition)
        try:
            if where not in self._consumer.assignment():
                self._consumer.assign([where])
            self._consumer.seek(where, position.offset)
            async with asyncio.timeout(READ_LIMIT_S):
                while not (messages := await self._messages(where)):
                    pass
        except (OffsetOutOfRangeError, TimeoutError):
            raise WrongLog(f"the topic {self._topic} has no record {position}") from None
        except (OSError, KafkaError) as error:
            raise Unavailable(f"Kafka cannot be read: {error!r}") from error
        if messages[0].offset != position.offset:
            raise WrongLog(f"the topic {self._topic} has no record {position}")
        # The wanted one last: the cache drops the oldest first.
        for message in reversed(messages):
            with suppress(ValueError):  # a record larger than the cache
                self._cache[Position(message.partition, message.offset)] = message
        return messages[0]

    async def _messages(self, where: TopicPartition) -> list[ConsumerRecord]:
        fetched = await self._consumer.getmany(where, timeout_ms=500, max_records=READ_AT_ONCE)
        return list(fetched.get(where, ()))


class TopicCopy:
    """Writes records to a topic in the order in which they are given, soon after."""

    def __init__(self, reader: RecordReader, producer: TopicProducer, partitions: int, log: int) -> None:
        self._reader = reader
        self._producer = producer
        self._partitions = partitions
        self._keeps_partitions = partitions == log
        self._waiting: list[Message] = []
        self._writing = asyncio.Lock()
        self._flushing = asyncio.create_task(self._keep_flushing())

    async def write(self, position: Position, event_id: str | None) -> None:
        """Copy the record at a position. Raise `WrongLog` if it is of another event, or `Unavailable`."""
        await self._raise_failure()
        record = await self._reader.at(position)
        if dict(record.headers).get("ce_id") != (event_id or "").encode():
            raise WrongLog(f"the record {position} in Kafka is not that of the server: it is another log")
        partition = record.partition if self._keeps_partitions else self._partition(record.key)
        headers = list(record.headers)
        self._waiting.append(Message(partition, record.key, record.value, headers, record.timestamp))
        if len(self._waiting) >= WRITTEN_AT_ONCE:
            await self.flush()

    def _partition(self, key: bytes | None) -> int:
        return partition_of(key or b"", self._partitions)

    async def finish(self) -> None:
        """Write what was given so far. Raise `Unavailable`, also if an earlier write failed."""
        await self.flush()
        await self._raise_failure()

    async def flush(self) -> None:
        """Write what waits."""
        async with self._writing:
            messages, self._waiting = self._waiting, []
            if not messages:
                return
            try:
                await self._producer.write_in_batches(messages)
            except MessageSizeTooLargeError as error:
                raise Unavailable(f"the topic does not accept so large a record: {error}") from error

    async def close(self) -> None:
        """Write nothing more."""
        self._flushing.cancel()
        await asyncio.gather(self._flushing, return_exceptions=True)

    async def _raise_failure(self) -> None:
        if self._flushing.done():
            await self._flushing

    async def _keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()


@asynccontextmanager
async def open_topic_copy(settings: Settings, topic: str) -> AsyncIterator[TopicCopy]:
    """Yield a copy into a topic, which is created if missing; at the end everything is written.

    Raise `Malformed` or `Forbidden` for its name, `WrongLog` if it cannot be created, and `Unavailable`.
    """
    check_target(settings, topic)
    shape = TopicShape(topic, settings.partitions, settings.replication, {"max.message.bytes": str(8 * MIB)})
    async with open_admin(settings.kafka_brokers) as admin:
        await create_missing(admin, [shape])
        partitions = (await await_visible(admin, [topic]))[topic]
    reader, producer = RecordReader(settings), TopicProducer(settings.kafka_brokers, topic, idempotent=True)
    try:
        await reader.start()
        copy = TopicCopy(reader, producer, partitions, settings.partitions)
        try:
            yield copy
            await copy.finish()
        finally:
            await copy.close()
    finally:
        await producer.close()
        await reader.stop()


def _size(record: ConsumerRecord) -> int:
    return RECORD_BYTES + len(record.value or b"") + sum(len(value or b"") for _, value in record.headers)
