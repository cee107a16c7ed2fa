"""Checkpoints: the folded offsets of each partition of the log, moved by compare-and-set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from projections.postgres.connections import Connection, Source

_ADVANCE = """
    WITH wanted AS (
        SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[])
            AS w(partition, first, next, emitted)
    ), locked AS (
        SELECT partition FROM checkpoints WHERE partition = ANY($1) ORDER BY partition FOR UPDATE
    )
    UPDATE checkpoints AS c SET next_offset = w.next, emitted_offset = greatest(c.emitted_offset, w.emitted)
    FROM wanted w JOIN locked l USING (partition)
    WHERE c.partition = w.partition AND c.next_offset = w.first AND c.generation = $5
    RETURNING c.partition
"""
_READ = "SELECT partition, next_offset, emitted_offset FROM checkpoints WHERE partition = ANY($1)"
_EMITTED = """
    UPDATE checkpoints SET emitted_offset = greatest(emitted_offset, $2)
    WHERE partition = $1 AND next_offset >= $2 AND generation = $3 RETURNING partition
"""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The checkpoint of a partition: `next_offset` is folded next, updates below `emitted_offset` are out."""

    next_offset: int
    emitted_offset: int


class Mismatch(Exception):
    """Error if the checkpoints are not at the start of the batch, or of another generation.

    Nothing was written.
    """


async def advance(
    connection: Connection,
    generation: int,
    firsts: Mapping[int, int],
    ends: Mapping[int, int],
    emitted: Mapping[int, int],
) -> None:
    """Move each partition of `ends` from its first offset to its end, in a generation. Raise `Mismatch`."""
    partitions = list(ends)
    columns = [[values[partition] for partition in partitions] for values in (firsts, ends, emitted)]
    moved = await connection.fetch(_ADVANCE, partitions, *columns, generation)
    if len(moved) != len(partitions):
        raise Mismatch


async def read(source: Source, partitions: Sequence[int]) -> dict[int, Checkpoint]:
    """Return the checkpoints of these partitions."""
    rows = await source.fetch(_READ, list(partitions))
    return {row["partition"]: Checkpoint(row["next_offset"], row["emitted_offset"]) for row in rows}


async def note_emitted(connection: Connection, generation: int, emitted: Mapping[int, int]) -> set[int]:
    """Record in a generation that all updates below these offsets are emitted; return the partitions it has.

    A partition is omitted if another generation is live now, which has not taken the offset over.
    """
    return {
        partition
        for partition, offset in emitted.items()
        if await connection.fetchval(_EMITTED, partition, offset, generation) is not None
    }
