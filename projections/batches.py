"""Batches of records of the log, by partition, and counters of what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.log.records import RawRecord

Batch = Mapping[int, Sequence[RawRecord]]
"""Partition → records with ascending offsets."""


@dataclass(slots=True)
class Counts:
    """Counters of a projector, for metrics and logs; all in records."""

    projected: int = 0
    parked: int = 0
    already_done: int = 0
    refilled: int = 0
    emitted_again: int = 0


def is_contiguous(records: Sequence[RawRecord]) -> bool:
    """Return whether the offsets of a partition's records have no gap."""
    first = records[0].position.offset
    return records[-1].position.offset - first + 1 == len(records) and all(
        raw.position.offset == first + index for index, raw in enumerate(records)
    )


def by_partition(raws: Sequence[RawRecord]) -> Batch:
    """Return records, in order per partition, as a batch."""
    batch: dict[int, list[RawRecord]] = {}
    for raw in raws:
        batch.setdefault(raw.position.partition, []).append(raw)
    return batch
