"""Emission of updates to `task-updates`: each to its event's partition, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.log.updates import Update, encode
from streams.producing import Message, TopicProducer


class KafkaUpdateLog:
    """The `app.log.ports.UpdateLog` on Kafka. An update may be written twice; its position identifies it.

    `generation` returns the name of the live generation, which has the rows of the updates.
    """

    def __init__(
        self, brokers: Sequence[str], topic: str, generation: Callable[[], str] = lambda: ""
    ) -> None:
        self._producer = TopicProducer(brokers, topic, idempotent=False, compression="lz4")
        self._generation = generation

    async def start(self) -> None:
        """Connect. Raise `Unavailable`."""
        await self._producer.start()

    async def emit(self, updates: Sequence[Update]) -> None:
        """See `app.log.ports.UpdateLog.emit`."""
        generation = self._generation()
        await self._producer.write(
            [Message(update.position.partition, *encode(update, generation)) for update in updates]
        )

    async def close(self) -> None:
        """Write what is pending and disconnect."""
        await self._producer.close()
