"""The broadcaster backend for `task-signals`: every node reads the whole topic from its end, and writes.

Signals lose their value within a moment. So they are read without a consumer group from the end, and written
without waiting for more than one replica. Lost messages are counted, and their effect lasts only until the
next heartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from api.broadcast.topic_tail import Polled, TopicTail

DISCONNECT_TIMEOUT_S = 3.0
REQUEST_TIMEOUT_MS = 5_000
LINGER_MS = 5
BATCH_BYTES = 64 * 1024
REQUEST_BYTES = 1024 * 1024
MAX_BATCH = 500


class KafkaSignals(TopicTail):
    """Reads and writes `topic`. An event is a tuple of messages."""

    def __init__(self, brokers: Sequence[str], topic: str) -> None:
        super().__init__(
            brokers,
            topic,
            client_id="tasktape-signals",
            auto_offset_reset="latest",
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
        """The number of messages that the brokers did not accept."""

    async def _begin(self) -> dict[int, int]:
        ends = await super()._begin()
        await self._producer.start()
        return ends

    async def disconnect(self) -> None:
        """Flush pending messages, within a time limit, and disconnect from the brokers."""
        for client in (self._producer, self._consumer):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                    await client.stop()

    async def publish(self, channel: str, message: Any) -> None:
        """Pass a message, as (key, value), to the producer; wait only while its buffer is full."""
        key, value = message
        sent: asyncio.Future[Any] = await self._producer.send(channel, value, key=key)
        sent.add_done_callback(self._note)

    def _note(self, sent: asyncio.Future[Any]) -> None:
        if sent.cancelled() or sent.exception() is not None:
            self.lost += 1

    def read(self, polled: Polled) -> tuple[bytes, ...]:
        """Return the messages of a batch."""
        return tuple(record.value or b"" for records in polled.values() for record in records)
