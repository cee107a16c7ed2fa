"""Topic of signals in memory; it passes the same tests as Kafka's."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from broadcaster import BroadcastBackend, Event

from api.broadcast.topic_tail import Broken
from app.errors import Unavailable


class MemoryTopic:
    """Topic shared by all nodes of a test. While it is `unavailable`, connecting fails."""

    def __init__(self) -> None:
        self.readers: set[MemorySignals] = set()
        self.unavailable = False

    def backend(self) -> MemorySignals:
        """Return a connection to the topic."""
        return MemorySignals(self)

    def break_connections(self) -> None:
        """Break all connections, and refuse new ones."""
        self.unavailable = True
        for reader in list(self.readers):
            reader.ready.put_nowait(Broken(ConnectionResetError("the topic is unavailable")))
        self.readers.clear()


class MemorySignals(BroadcastBackend):
    """Reads messages that are written while it is connected (see `signals_backend.KafkaSignals`)."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic
        self._channel = ""
        self.ready: asyncio.Queue[tuple[bytes, ...] | Broken] = asyncio.Queue()

    async def connect(self) -> None:
        """Start reading. Raise `Unavailable`."""
        if self._topic.unavailable:
            raise Unavailable("the topic is unavailable")
        self._topic.readers.add(self)

    async def disconnect(self) -> None:
        """Stop reading."""
        self._topic.readers.discard(self)

    async def subscribe(self, group: str) -> None:
        """Remember the channel; there is only one."""
        self._channel = group

    async def unsubscribe(self, group: str) -> None:
        """Do nothing; there is only one channel."""

    async def publish(self, channel: str, message: Any) -> None:
        """Send a message, as (key, value), to all readers."""
        for reader in self._topic.readers:
            reader.ready.put_nowait((message[1],))

    async def next_published(self) -> Event:
        """Return the next message."""
        return Event(self._channel, cast("Any", await self.ready.get()))

    def processed(self) -> None:
        """Do nothing; the queue is unbounded."""
