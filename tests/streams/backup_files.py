"""Backups of records that a test makes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from streams.backup.manifest import Base, Header, Mark
from streams.backup.reading import Ends, read_ends
from streams.backup.records import LogRecord, PartitionDigest
from streams.backup.writing import BackupWriter

PARTITIONS = 3


def in_order(
    drawn: Sequence[tuple[int, int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]],
    firsts: dict[int, int] | None = None,
) -> list[LogRecord]:
    """Return records with the next offsets of their partitions."""
    nexts = dict(firsts or dict.fromkeys(range(PARTITIONS), 0))
    records = []
    for partition, time_ms, kind, key, value, of in drawn:
        records.append(LogRecord(partition, nexts[partition], time_ms, kind, key, value, of))
        nexts[partition] += 1
    return records


def write(path: Path, records: Sequence[LogRecord], base: Ends | None = None, block_bytes: int = 200) -> Ends:
    """Write a backup with small blocks, and return its ends."""
    empty = tuple(Mark.of(partition, PartitionDigest()) for partition in range(PARTITIONS))
    starts = empty if base is None else base.footer.ends
    ends = {start.partition: start.offset for start in starts}
    for record in records:
        ends[record.partition] += 1
    header = Header(
        created_at=datetime.now(UTC),
        created_by="tests",
        topic="task-events",
        cluster_id="here",
        recorded_until=None,
        base=None if base is None else Base(digest=base.digest, file=base.path.name),
        starts=starts,
        ends=ends,
        policies={0: 0},
    )
    file = io.BytesIO()
    writer = BackupWriter(file, header, block_bytes=block_bytes)
    for record in records:
        writer.write([record])
    writer.finish()
    path.write_bytes(file.getvalue())
    return read_ends(path)
