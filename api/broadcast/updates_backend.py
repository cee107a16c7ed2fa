"""The broadcaster backend for updates: every node reads all of `task-updates` from a known position.

So there is no gap between the updates in the database and those that arrive live.

One broadcaster channel stands for the whole topic, and an event on it is a batch of decoded updates. With a
subscription per `task:`, `list:` or `user:` channel, two channels of one socket could overtake each other in
their separate queues; but a socket resumes by one position per partition over all its channels, so their
order matters. The hub distributes updates to channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import ConsumerRecord, TopicPartition

from api.broadcast.topic_tail import Polled, TopicTail
from app.errors import Malformed
from app.log.updates import Update, decode

log = structlog.get_logger(__name__)

MAX_BATCH = 1_000
MAX_FETCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Updates, in order for each partition of the topic, and the next offsets."""

    updates: tuple[Update, ...]
    next_offsets: Mapping[int, int]


class KafkaUpdates(TopicTail):
    """Reads `topic` from the offsets in `start`, or from its end. An event is a `Batch`.

    `hear` receives the generation of the read models that has the rows of a batch, before the batch is
    delivered.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        topic: str,
        start: Mapping[int, int] | None = None,
        hear: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(
            brokers,
            topic,
            client_id="tasktape-relay",
            isolation_level="read_uncommitted",
            # Offsets beyond retention: continue from the oldest; the gap is filled from the audit.
            auto_offset_reset="earliest",
            max_poll_records=MAX_BATCH,
            max_partition_fetch_bytes=MAX_FETCH_BYTES,
        )
        self._start = start or {}
        self._hear = hear
        self.next_offsets: dict[int, int] = {}
        """Partition → first offset to read; set when connected."""

    async def _begin(self) -> dict[int, int]:
        ends = await super()._begin()
        self.next_offsets = {number: self._start.get(number, end) for number, end in ends.items()}
        for number, offset in self.next_offsets.items():
            self._consumer.seek(TopicPartition(self._topic, number), offset)
        return ends

    async def publish(self, channel: str, message: Any) -> None:
        """Refuse to publish: only the worker writes updates."""
        raise NotImplementedError("updates are emitted by the worker, not by the relay")

    def read(self, polled: Polled) -> Batch:
        """Return the updates of a batch."""
        found = (read_update(record) for records in polled.values() for record in records)
        updates = tuple(update for update in found if update)
        for generation in {update.generation for update in updates}:
            self._hear(generation)
        return Batch(
            updates=updates,
            next_offsets={tp.partition: records[-1].offset + 1 for tp, records in polled.items() if records},
        )


def read_update(record: ConsumerRecord) -> Update | None:
    """Return the update in a Kafka record; log and skip a record that is not an update."""
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
