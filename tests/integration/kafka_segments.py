"""Records in the files of a stopped broker: read, and written again so that Kafka notices nothing."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from app.log.records import Headers

LOG_APPEND_TIME = 8
"""The bit of a batch's attributes that makes its time that of the broker."""
_OFFSET, _EPOCH, _CRC, _ATTRIBUTES = 0, 12, 17, 21
"""The places of fields in a batch, in bytes: https://kafka.apache.org/documentation/#recordbatch."""


class Stored(NamedTuple):
    """A record in a file."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


Change = Callable[[list[Stored]], Sequence[Stored]]


def change_partition(folder: Path, change: Change) -> None:
    """Change the records of a partition, whose folder this is, and remove what Kafka derives from them."""
    [segment] = folder.glob("*.log")
    records, epoch = _read(segment.read_bytes())
    segment.write_bytes(b"".join(_batch(record, epoch) for record in change(records)))
    for derived in (*folder.glob("*.index"), *folder.glob("*.timeindex"), *folder.glob("*.snapshot")):
        derived.unlink()


def renumbered(records: Sequence[Stored]) -> list[Stored]:
    """Return records with the offsets from 0 on."""
    return [record._replace(offset=offset) for offset, record in enumerate(records)]


def _read(content: bytes) -> tuple[list[Stored], int]:
    """Return the records of a segment, and the epoch of its first leader."""
    batches, found = MemoryRecords(content), []
    while batches.has_next():
        batch = batches.next_batch()
        assert batch is not None
        found += [
            Stored(each.offset, each.timestamp, each.key, each.value, list(each.headers)) for each in batch
        ]
    (epoch,) = struct.unpack_from(">i", content, _EPOCH)
    return found, epoch


def _batch(record: Stored, epoch: int) -> bytes:
    """Return a batch of one record, with the checksum that fits."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 24,
    )
    assert builder.append(0, record.timestamp_ms, record.key, record.value, list(record.headers))
    batch = bytearray(builder.build())
    struct.pack_into(">q", batch, _OFFSET, record.offset)
    struct.pack_into(">i", batch, _EPOCH, epoch)
    struct.pack_into(">h", batch, _ATTRIBUTES, LOG_APPEND_TIME)
    struct.pack_into(">I", batch, _CRC, calc_crc32c(batch[_ATTRIBUTES:]))
    return bytes(batch)
