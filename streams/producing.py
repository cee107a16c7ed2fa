"""Writing to Kafka: many records in few batches, and a producer that is replaced when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    IllegalOperation,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import murmur2

from app.errors import Unavailable
from app.log.records import Headers
from app.positions import Position

log = structlog.get_logger()

REQUEST_TIMEOUT_MS = 10_000
BATCH_BYTES = 262_144
REQUEST_BYTES = 8 * 1_048_576
KEYS_KEPT = 20_000
"""The number of keys whose partitions are cached: murmur2 in Python takes longer than the rest of a fold."""
SINGLES = 4
"""Up to this number, messages are sent singly: the producer batches those of concurrent callers."""


class Message(NamedTuple):
    """A message and its partition."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None = None
    """Its time, if the topic keeps those of producers. The default is now."""


@lru_cache(maxsize=KEYS_KEPT)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key, as Kafka's own clients choose it (murmur2)."""
    hashed: int = murmur2(key)
    return (hashed & 0x7FFFFFFF) % partitions


def unavailable(topic: str, error: Exception) -> Unavailable:
    """Return the error to raise when Kafka does not return the state of a topic."""
    if isinstance(error, UnknownTopicOrPartitionError):
        return Unavailable(f"there is no topic {topic}")
    return Unavailable(f"Kafka cannot be reached: {error!r}")


class TopicProducer:
    """A writer to one topic with `acks=all`, in order per partition."""

    def __init__(
        self, brokers: Sequence[str], topic: str, *, idempotent: bool, compression: str | None = None
    ) -> None:
        self._brokers = list(brokers)
        self._topic = topic
        self._idempotent = idempotent
        self._compression = compression
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def write(self, messages: Sequence[Message]) -> list[Position]:
        """Write messages and wait until they are durable; return their positions.

        Raise `Unavailable`: then some may have been written, or may be written later.
        """
        return await self._write(messages, in_batches=len(messages) > SINGLES)

    async def write_in_batches(self, messages: Sequence[Message]) -> list[Position]:
        """Write as `write` does; messages may lack both key and value, which `write` refuses for a few."""
        return await self._write(messages, in_batches=True)

    async def _write(self, messages: Sequence[Message], *, in_batches: bool) -> list[Position]:
        producer = await self._started()
        try:
            if in_batches:
                return await self._in_batches(producer, messages)
            return await self._singly(producer, messages)
        except MessageSizeTooLargeError:
            raise
        except (OSError, KafkaError) as error:
            if not isinstance(error, KafkaTimeoutError | RequestTimedOutError):
                await self._discard(producer)
            raise Unavailable(f"Kafka did not accept the records: {error!r}") from error

    async def start(self) -> None:
        """Connect now rather than at the first write. Raise `Unavailable`."""
        await self._started()

    async def partitions(self) -> int:
        """Return the number of partitions of the topic. Raise `Unavailable`."""
        producer = await self._started()
        try:
            return len(await producer.partitions_for(self._topic))
        except (OSError, KafkaError) as error:
            raise unavailable(self._topic, error) from error

    async def close(self) -> None:
        """Write what is pending and disconnect."""
        producer = self._producer
        self._producer = None
        if producer is not None:
            await producer.stop()

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is not None:
            return self._producer
        async with self._starting:
            if self._producer is None:
                self._producer = await self._new_producer()
            return self._producer

    async def _new_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._brokers,
            client_id="tasktape",
            acks="all",
            enable_idempotence=self._idempotent,
            compression_type=self._compression,
            max_batch_size=BATCH_BYTES,
            max_request_size=REQUEST_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            await producer.start()
        except (OSError, KafkaError) as error:
            await producer.stop()
            raise Unavailable(f"Kafka cannot be reached: {error}") from error
        return producer

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        """Discard a producer whose sequence of writes is broken, so that the next write gets a new one."""
        is_current = self._producer is producer
        if not is_current:
            return
        self._producer = None
        log.warning("the producer is replaced", topic=self._topic)
        try:
            await asyncio.wait_for(producer.stop(), REQUEST_TIMEOUT_MS / 1000)
        except (TimeoutError, KafkaError, IllegalOperation, ProducerClosed):
            log.warning("the producer did not stop", topic=self._topic)

    async def _singly(self, producer: AIOKafkaProducer, messages: Sequence[Message]) -> list[Position]:
        pending = [
            await producer.send(
                self._topic,
                key=message.key,
                value=message.value,
                headers=list(message.headers),
                partition=message.partition,
                timestamp_ms=message.timestamp_ms,
            )
            for message in messages
        ]
        written = [await pending[0]] if len(pending) == 1 else await asyncio.gather(*pending)
        return [Position(each.partition, each.offset) for each in written]

    async def _in_batches(self, producer: AIOKafkaProducer, messages: Sequence[Message]) -> list[Position]:
        positions: list[Position | None] = [None] * len(messages)
        by_partition: dict[int, list[int]] = {}
        for index, message in enumerate(messages):
            by_partition.setdefault(message.partition, []).append(index)

        async def write_partition(partition: int, indexes: list[int]) -> None:
            done = 0
            while done < len(indexes):
                batch = producer.create_batch()
                count = 0
                for index in indexes[done:]:
                    _, key, value, headers, timestamp_ms = messages[index]
                    if batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
                        break
                    count += 1
                if count == 0:
                    # Larger than a batch: the producer makes room for a single one, up to the request's size.
                    positions[indexes[done]] = (await self._singly(producer, [messages[indexes[done]]]))[0]
                    done += 1
                    continue
                written = await (await producer.send_batch(batch, self._topic, partition=partition))
                for place, index in enumerate(indexes[done : done + count]):
                    positions[index] = Position(partition, written.offset + place)
                done += count

        await asyncio.gather(*(write_partition(*item) for item in by_partition.items()))
        return [position for position in positions if position is not None]
