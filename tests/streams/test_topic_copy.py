"""Copies of records into another topic."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.errors import Unavailable
from app.positions import Position
from streams.producing import TopicProducer
from streams.topic_copy import RecordReader, TopicCopy


class Reader:
    """A reader of a log whose records are all of the event `e`."""

    async def at(self, position: Position) -> Any:
        """See `RecordReader.at`."""
        headers = [("ce_id", b"e")]
        return SimpleNamespace(
            partition=position.partition, key=b"k", value=b"{}", headers=headers, timestamp=1
        )


class FailingProducer:
    """A producer that fails once, at its first write."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()

    async def write_in_batches(self, messages: object) -> None:
        """See `TopicProducer.write_in_batches`."""
        if not self.failed.is_set():
            self.failed.set()
            raise Unavailable("Kafka did not accept the records")


async def test_record_that_was_not_written_is_an_error_at_the_end() -> None:
    """Also if the write failed between the last record and the end."""
    producer = FailingProducer()
    copy = TopicCopy(cast("RecordReader", Reader()), cast("TopicProducer", producer), 1, 1)
    try:
        await copy.write(Position(0, 0), "e")
        await producer.failed.wait()
        with pytest.raises(Unavailable, match="did not accept"):
            await copy.finish()
    finally:
        await copy.close()
