"""Backing up: the records of a consistent cut through the log, into a new file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from aiokafka import ConsumerRecord

from app.errors import WrongLog
from app.settings import Settings
from projections.generations.log_identity import LogIdentity
from projections.generations.restored_log import known_policies
from streams.backup.blocks import BadBackup
from streams.backup.cut import Cut, consistent_cut
from streams.backup.manifest import Base, Footer, Header, Mark
from streams.backup.reading import Ends
from streams.backup.records import LogRecord, PartitionDigest
from streams.backup.writing import BackupWriter
from streams.event_log import KafkaEventLog
from streams.topics import find_log

Progress = Callable[[int, int], None]
"""Receives the number of records done, and that of all."""


@dataclass(frozen=True, slots=True)
class Written:
    """A backup that was written."""

    header: Header
    footer: Footer
    digest: bytes
    file_bytes: int


async def back_up(
    settings: Settings, file: BinaryIO, *, version: str, base: Ends | None = None, progress: Progress
) -> Written:
    """Write the log to a new file; with `base`, only the records that this backup lacks.

    The log may be written meanwhile. Raise `BadBackup` for a base of another log, `WrongLog` for a log that
    cannot be backed up, `Unavailable`, and `OSError` for the file.
    """
    identity = await find_log(settings.kafka_brokers, settings.events_topic)
    if identity is None:
        raise WrongLog(f"there is no topic {settings.events_topic}: there is nothing to back up")
    # Before the cut: what policies did until there is in the backup.
    policies = await known_policies(settings.database_url, settings.schema_name, identity)
    cut = await consistent_cut(settings.kafka_brokers, identity.topic, identity.partitions)
    _check_whole(identity.topic, cut)
    event_log = KafkaEventLog(settings.kafka_brokers, identity.topic, identity.partitions)
    try:
        if base is not None:
            await _check_base(base, event_log, cut)
        header = _header(identity, cut, base, policies, version)
        writer = BackupWriter(file, header)
        progress(0, header.records)
        for start in header.starts:
            end = cut.ends[start.partition]
            async for messages in event_log.read_messages(start.partition, start.offset, end):
                writer.write([log_record(each) for each in messages])
                progress(writer.records, header.records)
        footer = writer.finish()
    finally:
        await event_log.close()
    return Written(header, footer, writer.digest, file.tell())


def log_record(message: ConsumerRecord) -> LogRecord:
    """Convert a message of aiokafka."""
    return LogRecord(
        message.partition,
        message.offset,
        message.timestamp,
        message.timestamp_type,
        message.key,
        message.value,
        message.headers,
    )


def _check_whole(topic: str, cut: Cut) -> None:
    for partition, start in cut.starts.items():
        if start:
            raise WrongLog(
                f"{topic} begins at {partition}:{start}; the records before it are gone, and a log without "
                "them cannot be restored"
            )


async def _check_base(base: Ends, event_log: KafkaEventLog, cut: Cut) -> None:
    """Check that the log has the base's last record of each partition at its place. Raise `BadBackup`."""
    marks = base.footer.ends
    if len(marks) != len(cut.ends):
        raise BadBackup(
            f"{base.path} has {len(marks)} partitions, the log has {len(cut.ends)}: it is of another log"
        )
    for mark in marks:
        if mark.offset > cut.ends[mark.partition]:
            place = f"{mark.partition}:{cut.ends[mark.partition]}"
            raise BadBackup(f"the log ends at {place}, before {base.path}: make a full backup")
        async for messages in event_log.read_messages(mark.partition, max(mark.offset - 1, 0), mark.offset):
            last = PartitionDigest()
            last.add(log_record(messages[0]).canonical)
            if last.last != mark.last:
                place = f"{mark.partition}:{mark.offset - 1}"
                raise BadBackup(f"the log has another record at {place} than {base.path}: make a full backup")


def _header(
    identity: LogIdentity, cut: Cut, base: Ends | None, policies: Mapping[int, int] | None, version: str
) -> Header:
    starts: Sequence[Mark] = [Mark.of(partition, PartitionDigest()) for partition in cut.ends]
    return Header(
        created_at=datetime.now(UTC),
        created_by=f"tasktape {version}",
        topic=identity.topic,
        cluster_id=identity.cluster_id,
        recorded_until=cut.recorded_until,
        base=None
        if base is None
        else Base(digest=base.digest, file=os.fsencode(base.path.name).decode(errors="replace")),
        starts=tuple(starts if base is None else base.footer.ends),
        ends=dict(cut.ends),
        policies=policies and {each: min(policies[each], end) for each, end in cut.ends.items()},
    )
