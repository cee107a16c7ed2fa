"""Watchers of commands' marks: on both topics, and at another client's WebSocket.

A command's mark is the unique new title of its task. Times are `time.time()`: all processes run
on one machine, so they have one clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic_core import from_json, to_json
from websockets.asyncio.client import connect

HALF_MS = 0.0005
"""Kafka's timestamps are cut to the millisecond: on average this is missing."""


@dataclass(slots=True)
class Seen:
    """For each place, the time when each mark passed."""

    appended: dict[str, float] = field(default_factory=dict)
    """The broker wrote the event (its own timestamp)."""
    fetched: dict[str, float] = field(default_factory=dict)
    """The event reached a consumer."""
    told: dict[str, float] = field(default_factory=dict)
    """The worker had committed and wrote the update (its producer's timestamp)."""
    update: dict[str, float] = field(default_factory=dict)
    """The update reached a consumer."""
    socket: dict[str, float] = field(default_factory=dict)
    """The frame reached the other client."""


@asynccontextmanager
async def watching(brokers: str, url: str, token: str, partitions: int) -> AsyncIterator[Seen]:
    """Watch during the block."""
    seen = Seen()

    def on_event(message: ConsumerRecord) -> None:
        now = time.time()
        data = from_json(message.value)
        title = data.get("fields", data).get("title", "")
        seen.fetched[title] = now
        seen.appended[title] = message.timestamp / 1000 + HALF_MS

    def on_update(message: ConsumerRecord) -> None:
        now = time.time()
        title = _title(from_json(message.value))
        seen.update[title] = now
        seen.told[title] = message.timestamp / 1000 + HALF_MS

    ready = asyncio.Barrier(4)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_consume(brokers, "task-events", partitions, on_event, ready)),
            group.create_task(_consume(brokers, "task-updates", partitions, on_update, ready)),
            group.create_task(_listen(url, token, seen, ready)),
        ]
        await ready.wait()
        yield seen
        for task in tasks:
            task.cancel()


async def _consume(
    brokers: str, topic: str, partitions: int, on: Callable[[ConsumerRecord], None], ready: asyncio.Barrier
) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=None)
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        await ready.wait()
        async for message in consumer:
            on(message)
    finally:
        await consumer.stop()


async def _listen(url: str, token: str, seen: Seen, ready: asyncio.Barrier) -> None:
    address = url.replace("http", "ws", 1) + "/ws"
    async with connect(address, subprotocols=["tasktape.v1.json"], compression=None) as socket:  # type: ignore[list-item]
        await socket.send(to_json({"id": 1, "type": "authenticate", "token": token}).decode())
        await socket.recv()
        await ready.wait()
        async for frame in socket:
            now = time.time()
            message = from_json(frame)
            if message["type"] == "update":
                seen.socket.setdefault(_title(message), now)
            elif message["type"] == "ping":
                await socket.send('{"type":"pong"}')


def _title(message: dict[str, Any]) -> str:
    """Return the mark in an update: that of the event, because the task may have changed since."""
    data = message["event"]["data"] or {}
    return str(data.get("fields", data).get("title", ""))
