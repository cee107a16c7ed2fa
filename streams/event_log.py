"""The event log on Kafka: appending to `task-events`, and reading ranges of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from app.errors import Unavailable, WrongLog
from app.log.records import Headers, RawRecord, Record, encode
from app.positions import Position
from streams.producing import Message, TopicProducer, partition_of, unavailable

READ_AT_ONCE = 1000
READ_WAIT_MS = 500
STALL_LIMIT_S = 30.0
FETCH_BYTES = 4 * 1_048_576


class KafkaEventLog:
    """The `app.log.ports.EventLog` on Kafka."""

    def __init__(self, brokers: Sequence[str], topic: str, partitions: int) -> None:
        self._brokers = list(brokers)
        self._topic = topic
        self._partitions = partitions
        self._producer = TopicProducer(brokers, topic, idempotent=True, compression="zstd")
        self._watcher: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()
        self._known_ends: dict[int, int] = {}
        self._backwards: str | None = None

    @property
    def partitions(self) -> int:
        """The number of partitions of the log."""
        return self._partitions

    def partition_of(self, stream: str) -> int:
        """See `app.log.ports.EventLog.partition_of`."""
        return partition_of(stream.encode(), self._partitions)

    async def start(self) -> None:
        """Connect, and check the number of partitions. Raise `WrongLog`, `Unavailable`."""
        found = await self._producer.partitions()
        if found != self._partitions:
            raise WrongLog(f"the topic {self._topic} has {found} partitions, not {self._partitions}")

    async def close(self) -> None:
        """Disconnect; appends in flight are finished first."""
        await self._producer.close()
        await self._forget_watcher()

    async def append(self, records: Sequence[Record], *, partition: int | None = None) -> list[Position]:
        """See `app.log.ports.EventLog.append`."""
        messages = []
        for record in records:
            key, value, headers = encode(record)
            place = partition_of(key, self._partitions) if partition is None else partition
            messages.append(Message(place, key, value, headers))
        return await self.write(messages)

    async def append_again(self, raws: Sequence[RawRecord]) -> list[Position]:
        """See `app.log.ports.EventLog.append_again`."""
        return await self.write([_copy(raw) for raw in raws])

    async def write(self, messages: Sequence[Message]) -> list[Position]:
        """Write encoded records to the partitions that they name. Raise as `append` does."""
        if self._backwards is not None:
            raise WrongLog(self._backwards)
        before = dict(self._known_ends)
        positions = await self._producer.write(messages)
        for partition, offset in positions:
            self._check_forwards(partition, offset, before.get(partition, 0))
            self._known_ends[partition] = max(offset + 1, self._known_ends.get(partition, 0))
        return positions

    def _check_forwards(self, partition: int, offset: int, known_end: int) -> None:
        """Check that the log only grows. Raise `WrongLog`, from now on for every use.

        A broker that lost unflushed records assigns their offsets again, and the new records at these offsets
        would be taken for folded ones.
        """
        if offset < known_end:
            self._backwards = (
                f"{self._topic} lost records: partition {partition} was at {known_end} and is at {offset}; "
                f"stop everything and run `tasktape doctor --repair`"
            )
        if self._backwards is not None:
            raise WrongLog(self._backwards)

    async def read(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[RawRecord]]:
        """See `app.log.ports.EventLog.read`. Raise `WrongLog` if offsets are missing, and `Unavailable`."""
        async for messages in self.read_messages(partition, first, end):
            yield [raw_record(each) for each in messages]

    async def read_messages(
        self, partition: int, first: int, end: int
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """Read as `read` does, the messages as Kafka returns them."""
        if first >= end:
            return
        consumer = self._consumer()
        where = TopicPartition(self._topic, partition)
        try:
            await consumer.start()
            consumer.assign([where])
            consumer.seek(where, first)
            deadline = time.monotonic() + STALL_LIMIT_S
            while first < end:
                fetched = await consumer.getmany(timeout_ms=READ_WAIT_MS, max_records=READ_AT_ONCE)
                messages = [each for each in fetched.get(where, ()) if each.offset < end]
                if messages:
                    yield messages
                    first = messages[-1].offset + 1
                    deadline = time.monotonic() + STALL_LIMIT_S
                elif time.monotonic() > deadline:
                    raise Unavailable(
                        f"the log returned nothing at {partition}:{first} for {STALL_LIMIT_S:.0f} s"
                    )
        except OffsetOutOfRangeError as error:
            raise WrongLog(f"the log has no record {partition}:{first} any more") from error
        except (OSError, KafkaError) as error:
            raise Unavailable(f"Kafka cannot be read: {error!r}") from error
        finally:
            await consumer.stop()

    async def ends(self) -> Mapping[int, int]:
        """See `app.log.ports.EventLog.ends`. Raise `Unavailable`, and `WrongLog` for a shorter log."""
        before = dict(self._known_ends)
        where = [TopicPartition(self._topic, partition) for partition in range(self._partitions)]
        try:
            watcher = await self._watching()
            ends = await watcher.end_offsets(where)
        except (OSError, KafkaError) as error:
            await self._forget_watcher()
            raise unavailable(self._topic, error) from error
        for tp, offset in ends.items():
            self._check_forwards(tp.partition, offset, before.get(tp.partition, 0))
            self._known_ends[tp.partition] = max(offset, self._known_ends.get(tp.partition, 0))
        return {tp.partition: offset for tp, offset in ends.items()}

    async def _watching(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._watcher is None:
                watcher = self._consumer()
                try:
                    await watcher.start()
                except BaseException:
                    await watcher.stop()
                    raise
                self._watcher = watcher
            return self._watcher

    async def _forget_watcher(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            await watcher.stop()

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._brokers,
            client_id="tasktape-reader",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=10_000,
        )


async def topic_ends(brokers: Sequence[str], topic: str, partitions: int) -> Mapping[int, int]:
    """Return the next offset of each partition of a topic. Raise `Unavailable`."""
    event_log = KafkaEventLog(brokers, topic, partitions)
    try:
        return await event_log.ends()
    finally:
        await event_log.close()


def raw_record(message: ConsumerRecord) -> RawRecord:
    """Convert a record of aiokafka to one of the domain."""
    return RawRecord(
        Position(message.partition, message.offset),
        datetime.fromtimestamp(message.timestamp / 1000, UTC),
        message.key,
        message.headers,
        message.value,
    )


def _copy(raw: RawRecord) -> Message:
    origin = ("ce_retryof", str(raw.position).encode())
    headers: Headers = [*(header for header in raw.headers if header[0] != "ce_retryof"), origin]
    return Message(raw.position.partition, raw.key, raw.value, headers)
