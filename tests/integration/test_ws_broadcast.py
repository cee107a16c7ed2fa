"""Broadcaster backend on a real broker: start positions, ignored messages, and recovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from broadcaster import Broadcast

from api.broadcast.topic_tail import MAX_BATCHES_AHEAD
from api.broadcast.updates_backend import Batch, KafkaUpdates
from app.errors import Unavailable
from app.log.updates import Update, encode
from app.positions import Position
from app.settings import Settings
from streams.update_log import KafkaUpdateLog
from tests.api.relay_world import nothing_update, task_update
from tests.places import new_place
from tests.waiting import LIMIT_S, eventually


@pytest.fixture
async def place(kafka_brokers: str, database_url: str) -> Settings:
    """Yield topics of this test's own."""
    return await new_place(kafka_brokers, database_url)


@asynccontextmanager
async def emitting(place: Settings) -> AsyncIterator[KafkaUpdateLog]:
    """Yield the worker's emitter."""
    log = KafkaUpdateLog(place.kafka_brokers, place.updates_topic)
    await log.start()
    yield log
    await log.close()


async def read(place: Settings, count: int, start: dict[int, int] | None = None) -> list[Update]:
    """Read this number of updates from a position."""
    found: list[Update] = []
    backend = KafkaUpdates(place.kafka_brokers, place.updates_topic, start)
    async with Broadcast(backend=backend) as broadcast, broadcast.subscribe(place.updates_topic) as events:
        while len(found) < count:
            batch = cast("Any", await asyncio.wait_for(events.get(), LIMIT_S)).message
            assert isinstance(batch, Batch)
            found.extend(batch.updates)
            backend.processed()
    return found


async def test_every_partition_is_read_from_its_known_end(place: Settings) -> None:
    """Earlier updates are not read; those after connecting are, however late the subscription."""
    async with emitting(place) as log:
        await log.emit([nothing_update(Position(partition, 0)) for partition in range(place.partitions)])
        backend = KafkaUpdates(place.kafka_brokers, place.updates_topic)
        async with Broadcast(backend=backend) as broadcast:
            assert backend.next_offsets == dict.fromkeys(range(place.partitions), 1)
            await log.emit([nothing_update(Position(partition, 1)) for partition in range(place.partitions)])
            async with broadcast.subscribe(place.updates_topic) as events:
                positions, reached = list[Position](), dict[int, int]()
                while len(positions) < place.partitions:
                    batch = cast("Any", await asyncio.wait_for(events.get(), LIMIT_S)).message
                    backend.processed()
                    reached |= batch.next_offsets
                    positions += [update.position for update in batch.updates]
            assert reached == dict.fromkeys(range(place.partitions), 2)
            assert sorted(positions) == [Position(partition, 1) for partition in range(place.partitions)]


async def test_updates_are_read_as_emitted(place: Settings) -> None:
    """Byte for byte, with all their channels, also odd ones."""
    updates = [task_update(Position(1, offset), "t", f"a list % {offset}") for offset in range(3_000)]
    async with emitting(place) as log:
        await log.emit(updates)
        start = dict.fromkeys(range(place.partitions), 0)
        assert await read(place, len(updates), start) == updates
        assert await read(place, 5, {**start, 1: 2_995}) == updates[2_995:]


async def test_invalid_updates_are_ignored(place: Settings) -> None:
    """Junk, and updates in the wrong partition."""
    good = nothing_update(Position(0, 0))
    producer = AIOKafkaProducer(bootstrap_servers=list(place.kafka_brokers))
    await producer.start()
    junk: list[tuple[bytes | None, list[tuple[str, bytes]]]] = [
        (b"junk", []),
        (None, []),
        (b"{}", [("ce_position", b"\xff")]),
        (b"{}", [("ce_position", b"x:y")]),
        (encode(nothing_update(Position(1, 0)))[1], encode(nothing_update(Position(1, 0)))[2]),
        (b"", encode(good)[2]),
    ]
    for value, headers in junk:
        await producer.send_and_wait(place.updates_topic, value, key=b"x", partition=0, headers=headers)
    key, value, headers = encode(good)
    await producer.send_and_wait(place.updates_topic, value, key=key, partition=0, headers=headers)
    await producer.stop()
    assert await read(place, 1, dict.fromkeys(range(place.partitions), 0)) == [good]


async def test_missing_offsets_start_at_the_oldest(place: Settings) -> None:
    """The gap shows by the positions, and is filled from the audit."""
    update = nothing_update(Position(0, 0))
    async with emitting(place) as log:
        await log.emit([update])
        assert await read(place, 1, {0: 1_000, 1: 0, 2: 0, 3: 0}) == [update]


async def test_subscribing_does_not_suspend(place: Settings) -> None:
    """broadcaster loses concurrent first subscribers otherwise."""
    backend = KafkaUpdates(place.kafka_brokers, place.updates_topic)
    with pytest.raises(StopIteration):
        backend.subscribe(place.updates_topic).send(None)
    with pytest.raises(ValueError, match="only channel"):
        await backend.subscribe("another")
    with pytest.raises(NotImplementedError):
        await backend.publish(place.updates_topic, "x")
    await backend.disconnect()


async def test_error_of_a_missing_topic_has_a_remedy(kafka_brokers: str) -> None:
    """So has that of a missing broker."""
    with pytest.raises(Unavailable, match="tasktape migrate"):
        await KafkaUpdates(kafka_brokers.split(","), "no-such-topic").connect()
    with pytest.raises(Unavailable, match="cannot be used"):
        await KafkaUpdates(["127.0.0.1:1"], "no-such-topic").connect()


async def test_reading_ahead_is_bounded(place: Settings) -> None:
    """A node that is filling a gap does not queue updates without bound."""
    async with emitting(place) as log:
        await log.emit([nothing_update(Position(0, offset)) for offset in range(20_000)])
    backend = KafkaUpdates(
        place.kafka_brokers, place.updates_topic, dict.fromkeys(range(place.partitions), 0)
    )
    async with Broadcast(backend=backend) as broadcast, broadcast.subscribe(place.updates_topic) as events:
        first = cast("Any", await asyncio.wait_for(events.get(), LIMIT_S)).message
        await eventually(lambda: events._queue.qsize() == MAX_BATCHES_AHEAD - 1)
        assert backend._credit.locked()
        assert first.updates[0].position == Position(0, 0)
