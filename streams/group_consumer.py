"""Faust's consumer, changed to read from the checkpoints and to commit them, whatever offsets are committed.

A checkpoint is in Postgres and moves with the rows. The group's offsets follow it, for tools that inspect the
group. The consumer seeks to the checkpoint on each assignment, and again when records were projected past it.

Faust's own commits are not used. They follow acknowledged records, and a commit that ends after a seek would
set Faust's bookkeeping back below the place of the seek: it would then wait for ever for the records between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any

import faust
import structlog
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP

log = structlog.get_logger()

Places = Callable[[Collection[int]], Awaitable[Mapping[int, int]]]
"""Partitions → the next offsets to read. May raise while they cannot be determined."""

CALL_LIMIT_S = 10.0
"""The time for a seek or a commit, with the calls of the consumer's thread before it."""
COMMIT_LIMIT_S = 5.0
"""The time for the requests of a commit."""


class CheckpointConsumer(Consumer):  # type: ignore[misc]
    """A consumer that reads a topic from `places`."""

    def __init__(self, *args: Any, topic: str, places: Places, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._events_topic = topic
        self._places = places
        # Between reading the places and seeking to them, no other seek may run.
        self._seeking = asyncio.Lock()
        self._confirmed: dict[TP, int] = {}
        """The offsets that Kafka has confirmed as committed since the last seek."""

    async def perform_seek(self) -> None:
        """Seek all partitions of an assignment, when Faust asks for it before reading."""
        try:
            await self.seek_to_places(
                {each.partition for each in self.assignment() if each.topic == self._events_topic}
            )
        except Exception as error:  # noqa: BLE001  # an error here would end the worker
            log.warning("partitions are read from where the group was", reason=str(error) or repr(error))
            await super().perform_seek()

    async def seek_to_places(self, partitions: Collection[int]) -> None:
        """Read the assigned ones of these partitions from their places.

        Raise what `places` raises, and `TimeoutError`.
        """
        async with self._seeking:
            places = await self._places_of(partitions)
            for where, offset in places.items():
                self._confirmed.pop(where, None)
                self._read_offset[where] = offset or None
            await self._in_thread(self._seek_assigned, places)

    async def commit_places(self, partitions: Collection[int]) -> None:
        """Commit the places of the assigned ones of these partitions that Kafka has not confirmed yet.

        Raise what `places` raises, `KafkaError`, and `TimeoutError`.
        """
        places = await self._places_of(partitions)
        behind = {where: offset for where, offset in places.items() if self._confirmed.get(where) != offset}
        if behind:
            self._confirmed |= await self._in_thread(self._commit_assigned, behind)

    async def _places_of(self, partitions: Collection[int]) -> dict[TP, int]:
        places = await self._places(partitions)
        return {TP(self._events_topic, partition): offset for partition, offset in places.items()}

    async def _in_thread(
        self, use: Callable[[Mapping[TP, int]], Awaitable[Mapping[TP, int]]], places: Mapping[TP, int]
    ) -> Mapping[TP, int]:
        """Return what `use` returns for these places, or nothing once the consumer has stopped.

        It is called in the thread that reads: another thread would change the consumer's state during use.
        """
        if self.should_stop or self._thread.should_stop:
            return {}
        return await asyncio.wait_for(self._thread.call_thread(use, places), CALL_LIMIT_S)

    async def _seek_assigned(self, places: Mapping[TP, int]) -> Mapping[TP, int]:
        """Seek to the assigned ones of these places, and return them.

        No await is between the check and the seeks, as a partition could be revoked during one.
        """
        consumer, ours = self._assigned(places)
        for where, offset in ours.items():
            consumer.seek(where, offset)
        return ours

    async def _commit_assigned(self, places: Mapping[TP, int]) -> Mapping[TP, int]:
        """Commit the assigned ones of these places, and return them."""
        consumer, ours = self._assigned(places)
        if ours:
            offsets = {TopicPartition(*where): OffsetAndMetadata(ours[where], "") for where in ours}
            await asyncio.wait_for(consumer.commit(offsets), COMMIT_LIMIT_S)
        return ours

    def _assigned(self, places: Mapping[TP, int]) -> tuple[Any, Mapping[TP, int]]:
        """Return the consumer of the thread, and the assigned ones of these places."""
        consumer = self._thread._ensure_consumer()  # noqa: SLF001  # Faust has no other way to it
        assigned = consumer.assignment()
        return consumer, {where: offset for where, offset in places.items() if where in assigned}


def read_from(app: faust.App, topic: str, places: Places) -> None:
    """Make an app that has no consumer yet read this topic from these places."""
    transport = Transport(app.conf.broker_consumer, app)
    transport.Consumer = partial(CheckpointConsumer, topic=topic, places=places)
    app.transport = transport
