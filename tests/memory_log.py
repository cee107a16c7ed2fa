"""The event log in memory: the same contract as Kafka's, for tests and experiments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from zlib import crc32

from app.log.ports import Clock
from app.log.records import Headers, RawRecord, Record, encode
from app.positions import Position
from tests.published_schemas import check_published


class MemoryEventLog:
    """An `app.log.ports.EventLog` whose partitions are lists."""

    def __init__(self, partitions: int, clock: Clock) -> None:
        self._logs: list[list[RawRecord]] = [[] for _ in range(partitions)]
        self._clock = clock
        self._grown = asyncio.Condition()

    @property
    def partitions(self) -> int:
        """The number of partitions of the log."""
        return len(self._logs)

    def partition_of(self, stream: str) -> int:
        """See `app.log.ports.EventLog.partition_of`."""
        return crc32(stream.encode()) % len(self._logs)

    @property
    def records(self) -> list[RawRecord]:
        """Return every record, partition by partition, in order."""
        return [raw for log in self._logs for raw in log]

    async def append(self, records: Sequence[Record], *, partition: int | None = None) -> list[Position]:
        """See `app.log.ports.EventLog.append`."""
        for record in records:
            check_published(record.data)
        return [await self._write(*encode(record), partition) for record in records]

    async def append_again(self, raws: Sequence[RawRecord]) -> list[Position]:
        """See `app.log.ports.EventLog.append_again`."""
        return [
            await self._put(
                raw.position.partition,
                raw.key,
                raw.value,
                [
                    *(header for header in raw.headers if header[0] != "ce_retryof"),
                    ("ce_retryof", str(raw.position).encode()),
                ],
            )
            for raw in raws
        ]

    async def read(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[RawRecord]]:
        """See `app.log.ports.EventLog.read`; wait for records that do not exist yet."""
        log = self._logs[partition]
        while first < end:
            async with self._grown:
                await self._grown.wait_for(lambda start=first: len(log) > start)  # type: ignore[misc]
            records = log[first:end]
            yield records
            first += len(records)

    async def ends(self) -> Mapping[int, int]:
        """See `app.log.ports.EventLog.ends`."""
        return {partition: len(log) for partition, log in enumerate(self._logs)}

    async def _write(
        self, key: bytes, value: bytes, headers: list[tuple[str, bytes]], partition: int | None
    ) -> Position:
        place = self.partition_of(key.decode()) if partition is None else partition
        return await self._put(place, key, value, headers)

    async def _put(
        self, partition: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> Position:
        log = self._logs[partition]
        position = Position(partition, len(log))
        log.append(RawRecord(position, self._clock(), key, headers, value))
        async with self._grown:
            self._grown.notify_all()
        return position
