"""Faust's consumer, changed to read from the checkpoints, whatever offset the group has committed.

A checkpoint is in Postgres and moves with the rows. The group's offsets are Faust's bookkeeping, for tools
that inspect the group. The consumer therefore seeks to the checkpoint on each assignment, and again when
records were projected past it. Each time the bookkeeping of acknowledged offsets is reset: Faust commits up
to the first offset that was not acknowledged, and would otherwise keep all offsets above it for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP
from faust.types.tuples import ack_lock

log = structlog.get_logger()

Places = Callable[[Collection[int]], Awaitable[Mapping[int, int]]]
"""Partitions → the next offsets to read. May raise while they cannot be determined."""

SEEK_LIMIT_S = 10.0
COMMIT_LIMIT_S = 5.0


class CheckpointConsumer(Consumer):  # type: ignore[misc]
    """A consumer that reads a topic from `places`."""

    def __init__(self, *args: Any, topic: str, places: Places, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._events_topic = topic
        self._places = places
        # Between reading the places and seeking to them, no other seek may run.
        self._going_on = asyncio.Lock()

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
        async with self._going_on:
            places = {
                TP(self._events_topic, partition): offset
                for partition, offset in (await self._places(partitions)).items()
            }
            for where, offset in places.items():
                self._start_afresh(where, offset)
            # In the thread that reads: another thread would change its state during use.
            seek = self._thread.call_thread(self._seek_and_commit, places)
            await asyncio.wait_for(seek, SEEK_LIMIT_S)

    def _start_afresh(self, where: TP, offset: int) -> None:
        """Forget the acknowledged offsets; records before `offset` count as committed."""
        with ack_lock:
            for kept in (self._acked, self._acked_index, self._gap):
                kept.pop(where, None)
            self._committed_offset[where] = offset
            self._read_offset[where] = offset or None

    async def _seek_and_commit(self, places: Mapping[TP, int]) -> None:
        consumer = self._thread._ensure_consumer()  # noqa: SLF001  # Faust has no other way to it
        assigned = consumer.assignment()
        offsets = {}
        for where, offset in places.items():
            # Checked and done without an await, during which a partition could be revoked.
            if where in assigned:
                consumer.seek(where, offset)
                offsets[TopicPartition(*where)] = OffsetAndMetadata(offset, "")
        if not offsets:
            return
        try:
            await asyncio.wait_for(consumer.commit(offsets), COMMIT_LIMIT_S)
        except (KafkaError, TimeoutError) as error:
            # Nothing depends on it: the next acknowledged record is committed, and this one with it.
            log.info("offsets were not committed", reason=repr(error))


def read_from(app: faust.App, topic: str, places: Places) -> None:
    """Make an app that has no consumer yet read this topic from these places."""
    transport = Transport(app.conf.broker_consumer, app)
    transport.Consumer = partial(CheckpointConsumer, topic=topic, places=places)
    app.transport = transport
