"""The base of the broadcaster backends: a node reads a whole topic from a known position.

broadcaster's own Kafka backend joins a consumer group that is rebalanced for each subscription, and starts at
the group's offsets. Here there is no group: every partition is assigned, at offsets that are known before
anything is read.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from broadcaster import BroadcastBackend, Event

from app.errors import Unavailable

CONNECT_TIMEOUT_S = 20.0
MAX_BATCHES_AHEAD = 4
POLL_MS = 1_000

Polled = Mapping[TopicPartition, Sequence[ConsumerRecord]]
"""Records by partition, in order."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The last event of a connection that broke."""

    error: Exception


class TopicTail(BroadcastBackend):
    """Reads `topic`. Its only broadcaster channel is the topic; an event is what `read` returns for a batch.

    broadcaster's listener stops silently when reading raises. So reading does not raise: an error is
    delivered as the last event, `Broken`, after everything that was read before.
    """

    def __init__(self, brokers: Sequence[str], topic: str, **options: Any) -> None:
        self._topic = topic
        self._subscribed = asyncio.Event()
        self._credit = asyncio.Semaphore(MAX_BATCHES_AHEAD)
        self._broken = False
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(brokers),
            group_id=None,
            enable_auto_commit=False,
            fetch_max_wait_ms=POLL_MS,
            **options,
        )

    @abstractmethod
    def read(self, polled: Polled) -> object:
        """Return the event for a batch."""

    async def connect(self) -> None:
        """Connect and start. Raise `Unavailable`."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._begin()
        except (KafkaError, OSError, TimeoutError) as error:
            await self.disconnect()
            raise Unavailable(f"{self._topic} cannot be used: {error or type(error).__name__}") from error
        except BaseException:
            await self.disconnect()
            raise

    async def _begin(self) -> dict[int, int]:
        """Start the consumer at the ends of all partitions, and return them."""
        await self._consumer.start()
        if self._topic not in await self._consumer.topics():
            raise Unavailable(f"there is no topic {self._topic} yet; run `tasktape migrate`")
        # A consumer only learns the partitions of topics that it is assigned.
        first = TopicPartition(self._topic, 0)
        self._consumer.assign([first])
        await self._consumer.end_offsets([first])
        numbers = sorted(self._consumer.partitions_for_topic(self._topic) or ())
        self._consumer.assign([TopicPartition(self._topic, number) for number in numbers])
        ends = await self.ends()
        for number, end in ends.items():
            self._consumer.seek(TopicPartition(self._topic, number), end)
        return ends

    async def ends(self) -> dict[int, int]:
        """Query the brokers; return partition → offset of its next record."""
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(self._consumer.assignment())
        return {partition.partition: end for partition, end in ends.items()}

    async def disconnect(self) -> None:
        """Disconnect from the brokers."""
        await self._consumer.stop()

    async def subscribe(self, group: str) -> None:
        """Start the events. Never suspend: broadcaster would lose a concurrent first subscriber."""
        if group != self._topic:
            raise ValueError(f"the only channel is {self._topic}")
        self._subscribed.set()

    async def unsubscribe(self, group: str) -> None:  # noqa: ARG002
        """Pause the events."""
        self._subscribed.clear()

    async def next_published(self) -> Event:
        """Return the next batch, once there is a subscriber and capacity to read ahead."""
        await self._subscribed.wait()
        await self._credit.acquire()
        if self._broken:
            await asyncio.Event().wait()
        try:
            message = self.read(await self._poll())
        except Exception as error:  # noqa: BLE001
            self._broken, message = True, Broken(error)
        # broadcaster passes a message unchanged, whatever its type.
        return Event(self._topic, cast("Any", message))

    def processed(self) -> None:
        """Release the capacity of a processed event, so that another one may be read ahead."""
        self._credit.release()

    async def _poll(self) -> Polled:
        while True:
            polled: Polled = await self._consumer.getmany(timeout_ms=POLL_MS)
            if polled:
                return polled
