"""The topic of signals in memory: passes the same tests as Kafka's."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from broadcaster import BroadcastBackend, Event

from api.broadcast.topic_tail import Broken
from app.errors import Unavailable


class MemoryTopic:
    """What all nodes of a test write to and read from. While it is `away`, nobody can connect."""

    def __init__(self) -> None:
        self.readers: set[MemorySignals] = set()
        self.away = False

    def backend(self) -> MemorySignals:
        """A connection to it."""
        return MemorySignals(self)

    def break_off(self) -> None:
        """Let all connections break, and none be made any more."""
        self.away = True
        for reader in list(self.readers):
            reader.ready.put_nowait(Broken(ConnectionResetError("the topic is away")))
        self.readers.clear()


class MemorySignals(BroadcastBackend):
    """Reads what is written while it is connected (see `signal_topic.KafkaSignals`)."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic
        self._channel = ""
        self.ready: asyncio.Queue[tuple[bytes, ...] | Broken] = asyncio.Queue()

    async def connect(self) -> None:
        """Begin to read. Raises `Unavailable`."""
        if self._topic.away:
            raise Unavailable("the topic is away")
        self._topic.readers.add(self)

    async def disconnect(self) -> None:
        """Read no more."""
        self._topic.readers.discard(self)

    async def subscribe(self, group: str) -> None:
        """There is one channel only."""
        self._channel = group

    async def unsubscribe(self, group: str) -> None:
        """There is one channel only."""

    async def publish(self, channel: str, message: Any) -> None:  # noqa: ARG002
        """Give a message, as (key, value), to all."""
        for reader in self._topic.readers:
            reader.ready.put_nowait((message[1],))

    async def next_published(self) -> Event:
        """The next message."""
        return Event(self._channel, cast("Any", await self.ready.get()))

    def taken(self) -> None:
        """Nothing is bounded here."""
