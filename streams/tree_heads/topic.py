"""The topic of tree heads: one partition with the texts of signed notes, in the order of their sizes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.merkle.notes import Note
from app.settings import Settings
from streams.event_log import KafkaEventLog
from streams.producing import Message

CONTENT_TYPE = ("content-type", b"text/plain; charset=utf-8")
_PARTITION = 0


class TreeHeadTopic:
    """The topic. All methods raise `Unavailable`, and `WrongLog` if it has lost records."""

    def __init__(self, settings: Settings) -> None:
        self._log = KafkaEventLog(settings.kafka_brokers, settings.tree_heads_topic, 1)

    async def end(self) -> int:
        """Return the offset after the last record."""
        return (await self._log.ends())[_PARTITION]

    async def read(self, first: int, end: int) -> AsyncIterator[tuple[int, bytes]]:
        """Read the offsets `[first, end)`, each with its content."""
        async for raws in self._log.read(_PARTITION, first, end):
            for raw in raws:
                yield raw.position.offset, raw.value or b""

    async def append(self, size: int, note: Note) -> None:
        """Append the note of a tree head with this number of records."""
        message = Message(_PARTITION, str(size).encode(), str(note).encode(), [CONTENT_TYPE])
        await self._log.write([message])

    async def close(self) -> None:
        """Disconnect."""
        await self._log.close()
