"""Our broadcaster backend for `task-signals`: every node reads all of it from its end on, and writes to it.

What is on it is worth nothing a moment later. So it is read without a group from wherever it ends, and
written without waiting for more than one replica; what does not get through is counted, and missed by nobody
for longer than until the next heartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from broadcaster import BroadcastBackend, Event

from app.errors import Unavailable

CONNECT_TIMEOUT_S = 20.0
DISCONNECT_TIMEOUT_S = 3.0
REQUEST_TIMEOUT_MS = 5_000
LINGER_MS = 5
BATCH_BYTES = 64 * 1024
REQUEST_BYTES = 1024 * 1024
MAX_BATCH = 500
MAX_BATCHES_AHEAD = 4
POLL_MS = 1_000


@dataclass(frozen=True, slots=True)
class Broken:
    """The last event of a connection: it broke."""

    error: Exception


class KafkaSignals(BroadcastBackend):
    """Reads and writes `topic`. An event is a tuple of messages, or `Broken`.

    broadcaster's listener would die of an exception without a word, so it must not see one.
    """

    def __init__(self, brokers: Sequence[str], topic: str) -> None:
        self._topic = topic
        self._subscribed = asyncio.Event()
        self._credit = asyncio.Semaphore(MAX_BATCHES_AHEAD)
        self._broken = False
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(brokers),
            client_id="tasktape-signals",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_wait_ms=POLL_MS,
            max_poll_records=MAX_BATCH,
        )
        self._producer = AIOKafkaProducer(
            bootstrap_servers=list(brokers),
            client_id="tasktape-signals",
            acks=1,
            linger_ms=LINGER_MS,
            max_batch_size=BATCH_BYTES,
            max_request_size=REQUEST_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        self.lost = 0
        """How many messages the brokers did not take."""

    async def connect(self) -> None:
        """Find the end of the topic. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._consumer.start()
                await self._assign()
                await self._producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self.disconnect()
            raise Unavailable(f"{self._topic} can't be used: {error or type(error).__name__}") from error
        except BaseException:
            await self.disconnect()
            raise

    async def _assign(self) -> None:
        if self._topic not in await self._consumer.topics():
            raise Unavailable(f"there is no topic {self._topic} yet; run `tasktape migrate`")
        # A consumer only learns the partitions of topics that it is assigned.
        first = TopicPartition(self._topic, 0)
        self._consumer.assign([first])
        await self._consumer.end_offsets([first])
        numbers = sorted(self._consumer.partitions_for_topic(self._topic) or ())
        partitions = [TopicPartition(self._topic, number) for number in numbers]
        self._consumer.assign(partitions)
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        for partition, end in ends.items():
            self._consumer.seek(partition, end)

    async def disconnect(self) -> None:
        """Send what is on its way, unless that takes too long, and leave the brokers."""
        for client in (self._producer, self._consumer):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                    await client.stop()

    async def subscribe(self, group: str) -> None:
        """Let the messages flow. Never suspends: broadcaster would lose a concurrent first subscriber."""
        if group != self._topic:
            raise ValueError(f"the only channel is {self._topic}")
        self._subscribed.set()

    async def unsubscribe(self, group: str) -> None:  # noqa: ARG002
        """Hold the messages back."""
        self._subscribed.clear()

    async def publish(self, channel: str, message: Any) -> None:
        """Hand a message, as (key, value), to the producer; waits only while that is full."""
        key, value = message
        sent: asyncio.Future[Any] = await self._producer.send(channel, value, key=key)
        sent.add_done_callback(self._note)

    def _note(self, sent: asyncio.Future[Any]) -> None:
        if sent.cancelled() or sent.exception() is not None:
            self.lost += 1

    async def next_published(self) -> Event:
        """The next messages, once there is a subscriber and room ahead of it."""
        await self._subscribed.wait()
        await self._credit.acquire()
        if self._broken:
            await asyncio.Event().wait()
        try:
            message: tuple[bytes, ...] | Broken = await self._poll()
        except Exception as error:  # noqa: BLE001
            self._broken, message = True, Broken(error)
        # broadcaster hands a message on as it is, whatever its type.
        return Event(self._topic, cast("Any", message))

    def taken(self) -> None:
        """Say that an event was dealt with: another one may be read ahead."""
        self._credit.release()

    async def _poll(self) -> tuple[bytes, ...]:
        while True:
            polled: Mapping[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                timeout_ms=POLL_MS
            )
            if polled:
                return tuple(record.value or b"" for records in polled.values() for record in records)
