"""Restoring: the records of a backup and its increments, at their positions in an empty instance's log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path

from aiokafka.errors import MessageSizeTooLargeError

from app.errors import WrongLog
from app.settings import Settings
from projections.generations.restored_log import check_empty, forget_read_models
from streams.backup.backup import log_record
from streams.backup.blocks import BadBackup
from streams.backup.reading import Ends, Entry, check_continues, open_backup, read_ends
from streams.backup.records import PartitionDigest
from streams.backup.restored_topic import (
    begin_restore,
    end_restore,
    refuse_log,
    refuse_updates,
)
from streams.event_log import KafkaEventLog
from streams.producing import Message, TopicProducer
from streams.topics import shapes_of

Progress = Callable[[str, int, int], None]
"""Receives what is being done, the number of records done, and that of all."""


def check(paths: Sequence[Path], progress: Progress) -> list[Ends]:
    """Read backups and check all of them; several must be a chain. Raise `BadBackup` and `OSError`."""
    chain = [read_ends(path) for path in paths]
    for before, ends in pairwise(chain):
        check_continues(ends, before)
    total, done = sum(ends.footer.records for ends in chain), 0
    for path in paths:
        with open_backup(path) as reader:
            for entries in reader.records():
                done += len(entries)
                progress("Checking", done, total)
    return chain


def check_restorable(paths: Sequence[Path], progress: Progress) -> list[Ends]:
    """Check a backup and its increments, which are given in order. Raise `BadBackup` and `OSError`."""
    check_continues(read_ends(paths[0]), None)
    return check(paths, progress)


async def restore(settings: Settings, chain: Sequence[Ends], progress: Progress) -> None:
    """Restore backups that have been checked, a full one and its increments, into an empty instance.

    A restore that was interrupted continues if it is called again with the same files. Raise `BadBackup`,
    `WrongLog`, `Unavailable` and `OSError`.
    """
    shape, updates, *_ = shapes_of(settings)
    partitions = len(chain[0].header.starts)
    if partitions != settings.partitions:
        raise BadBackup(
            f"{chain[0].path} has {partitions} partitions, but {settings.partitions} are configured: "
            f"set TASKTAPE_PARTITIONS={partitions}"
        )
    await refuse_log(settings.kafka_brokers, shape)
    await refuse_updates(settings.kafka_brokers, updates.name)
    await check_empty(settings.database_url, settings.schema_name)
    await begin_restore(settings.kafka_brokers, shape)
    event_log = KafkaEventLog(settings.kafka_brokers, shape.name, partitions)
    producer = TopicProducer(settings.kafka_brokers, shape.name, idempotent=True, compression="zstd")
    try:
        await _Restoration(event_log, producer, chain, progress).run()
    finally:
        await producer.close()
        await event_log.close()
    await forget_read_models(settings.database_url, settings.schema_name, chain[-1].header.policies)
    await end_restore(settings.kafka_brokers, shape)


class _Restoration:
    """The writing of the records, and the check that they lie in the log as in the files."""

    def __init__(
        self, event_log: KafkaEventLog, producer: TopicProducer, chain: Sequence[Ends], progress: Progress
    ) -> None:
        self._event_log = event_log
        self._producer = producer
        self._chain = chain
        self._progress = progress
        self._total = sum(ends.footer.records for ends in chain)

    async def run(self) -> None:
        """Write what is missing, and compare the rest. Raise `WrongLog` and `BadBackup`."""
        there = dict(await self._event_log.ends())
        self._check_ends(there)
        done = 0
        for ends in self._chain:
            _check_unchanged(ends)
            with open_backup(ends.path) as reader:
                for entries in reader.records():
                    for partition, run in groupby(entries, lambda each: each.record.partition):
                        await self._write(partition, list(run), there[partition])
                    done += len(entries)
                    self._progress("Restoring", done, self._total)
        await self._verify()

    async def _write(self, partition: int, entries: Sequence[Entry], there: int) -> None:
        """Write the records from offset `there` on, and compare those before it with the log's."""
        known = [each for each in entries if each.record.offset < there]
        fresh = entries[len(known) :]
        if known:
            await self._compare(partition, known)
        if not fresh:
            return
        try:
            positions = await self._producer.write_in_batches([_message(each) for each in fresh])
        except MessageSizeTooLargeError as error:
            place = f"{partition}:{fresh[0].record.offset}"
            raise WrongLog(f"Kafka refuses the size of a record from {place} on: {error}") from error
        if positions[0].offset != fresh[0].record.offset or positions[-1].offset != fresh[-1].record.offset:
            raise WrongLog(
                "somebody else writes to the log: stop everything, and restore into another instance"
            )

    async def _compare(self, partition: int, entries: Sequence[Entry]) -> None:
        expected = iter(entries)
        first, end = entries[0].record.offset, entries[-1].record.offset + 1
        async for messages in self._event_log.read_messages(partition, first, end):
            for message, entry in zip(messages, expected, strict=False):
                if log_record(message).canonical != entry.canonical:
                    raise WrongLog(
                        f"the log has another record at {partition}:{message.offset}: it is of the "
                        "interrupted restore of another backup; restore into another instance"
                    )

    async def _verify(self) -> None:
        """Read everything back. Raise `WrongLog` if anything differs."""
        done = 0
        for mark in self._chain[-1].footer.ends:
            digest = PartitionDigest()
            async for messages in self._event_log.read_messages(mark.partition, 0, mark.offset):
                for message in messages:
                    digest.add(log_record(message).canonical)
                done += len(messages)
                self._progress("Verifying", done, self._total)
            if digest.value != mark.digest:
                raise WrongLog(f"partition {mark.partition} of the log does not equal the backup")
        self._check_ends(await self._event_log.ends())

    def _check_ends(self, ends: Mapping[int, int]) -> None:
        """Check that the log does not go on behind the backup."""
        for mark in self._chain[-1].footer.ends:
            if ends[mark.partition] > mark.offset:
                place = f"{mark.partition}:{mark.offset}"
                raise WrongLog(
                    f"the log has a record {place}, which {self._chain[-1].path} lacks: "
                    "restore the files of the interrupted restore, or into another instance"
                )


def _check_unchanged(ends: Ends) -> None:
    """Raise `BadBackup` if the file is not the one that was checked."""
    if read_ends(ends.path).digest != ends.digest:
        raise BadBackup(f"{ends.path} was changed while it was restored")


def _message(entry: Entry) -> Message:
    record = entry.record
    return Message(record.partition, record.key, record.value, record.headers, record.timestamp_ms)
