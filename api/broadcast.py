"""Our backend for broadcaster: every node reads all of `task-updates`, from a known place on.

broadcaster's own Kafka backend joins a consumer group that is balanced anew for each subscription, and starts
wherever the group happens to be. Ours has no group: it assigns itself every partition, at offsets that are
known before it reads, so that nothing lies unseen between "up to here it is in the database" and "from here
it is live".

One broadcaster channel stands for the whole topic, and an event on it is a batch of decoded updates. A
subscription per `task:`, `list:` or `user:` channel would let two channels of one socket overtake each other
in their separate queues; but a socket resumes by one position per partition over all its channels, so
their order matters. The hub tells the channels apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from broadcaster import BroadcastBackend, Event

from app.errors import Malformed, Unavailable
from app.updates import Update, decode

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 20.0
MAX_BATCH = 1_000
MAX_FETCH_BYTES = 8 * 1024 * 1024
MAX_BATCHES_AHEAD = 4
POLL_MS = 1_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Updates, in order for each partition of the topic, and the offsets that come after them."""

    updates: tuple[Update, ...]
    next_offsets: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Failed:
    """The last event of a connection that broke."""

    error: Exception


class KafkaUpdates(BroadcastBackend):
    """Reads `topic` from the offsets in `start`, or from its end.

    broadcaster's listener dies without a word when reading raises. So reading doesn't raise: what went wrong
    is delivered as the last event, `Failed`, behind everything that was read before.
    """

    def __init__(self, brokers: Sequence[str], topic: str, start: Mapping[int, int] | None = None) -> None:
        self._topic = topic
        self._start = start
        self._subscribed = asyncio.Event()
        self._credit = asyncio.Semaphore(MAX_BATCHES_AHEAD)
        self._broken = False
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(brokers),
            client_id="tasktape-relay",
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_uncommitted",
            # Offsets that retention has taken away: go on from the oldest; the gap is filled from the audit.
            auto_offset_reset="earliest",
            fetch_max_wait_ms=POLL_MS,
            max_poll_records=MAX_BATCH,
            max_partition_fetch_bytes=MAX_FETCH_BYTES,
        )
        self.next_offsets: dict[int, int] = {}
        """Partition → where reading starts; known once connected."""

    async def connect(self) -> None:
        """Find the partitions and where to start. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._consumer.start()
                await self._assign()
        except (KafkaError, OSError, TimeoutError) as error:
            await self.disconnect()
            raise Unavailable(f"{self._topic} can't be read: {error or type(error).__name__}") from error
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
            offset = (self._start or {}).get(partition.partition, end)
            self._consumer.seek(partition, offset)
            self.next_offsets[partition.partition] = offset

    async def disconnect(self) -> None:
        """Leave the brokers."""
        await self._consumer.stop()

    async def subscribe(self, group: str) -> None:
        """Let the events flow. Never suspends: broadcaster would lose a concurrent first subscriber."""
        if group != self._topic:
            raise ValueError(f"the only channel is {self._topic}")
        self._subscribed.set()

    async def unsubscribe(self, group: str) -> None:  # noqa: ARG002
        """Hold the events back."""
        self._subscribed.clear()

    async def publish(self, channel: str, message: Any) -> None:
        """Updates come from the worker alone."""
        raise NotImplementedError("updates are emitted by the worker, not by the relay")

    async def next_published(self) -> Event:
        """The next batch, once there is a subscriber and room ahead of it."""
        await self._subscribed.wait()
        await self._credit.acquire()
        if self._broken:
            await asyncio.Event().wait()
        try:
            return self._event(await self._poll())
        except Exception as error:  # noqa: BLE001
            self._broken = True
            return self._event(Failed(error))

    def taken(self) -> None:
        """Say that a batch was dealt with: another one may be read ahead."""
        self._credit.release()

    async def ends(self) -> dict[int, int]:
        """Partition → the offset that its next update will get, asked of the brokers."""
        partitions = [TopicPartition(self._topic, number) for number in self.next_offsets]
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        return {partition.partition: end for partition, end in ends.items()}

    async def _poll(self) -> Batch:
        while True:
            polled: Mapping[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                timeout_ms=POLL_MS
            )
            if polled:
                break
        updates = (read_update(record) for records in polled.values() for record in records)
        return Batch(
            updates=tuple(update for update in updates if update),
            next_offsets={tp.partition: records[-1].offset + 1 for tp, records in polled.items() if records},
        )

    def _event(self, message: Batch | Failed) -> Event:
        # broadcaster hands a message on as it is, whatever its type.
        return Event(self._topic, cast("Any", message))


def read_update(record: ConsumerRecord) -> Update | None:
    """The update in a Kafka record; what isn't one is logged and passed over."""
    try:
        update = decode(record.headers, record.value or b"")
    except (KeyError, ValueError, Malformed) as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        if update.position.partition == record.partition and update.value[:1] == b"{":
            return update
        reason = "not the update of a record of this partition"
    log.warning(
        "not an update", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason
    )
    return None
