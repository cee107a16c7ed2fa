"""The read model of the Merkle trees of the partitions: the hashes of all records, and of the nodes above.

Every record of the log is a leaf, at the index of its offset. Hashes are stored in tiles
(`app.merkle.tiles`): a batch only appends to the last tile of a level, and adds new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, SmallInteger, Table

from app.log.canonical_bytes import canonical_bytes
from app.log.records import RawRecord
from app.merkle.hashes import leaf_hash, perfect_root
from app.merkle.tiles import Appended, appended_to_tiles, root_in
from projections.postgres.connections import Connection
from projections.postgres.sql_parameters import array
from projections.postgres.tables import read_models
from projections.read_models.projected import ProjectedBatch

tree_tiles = Table(
    "tree_tiles",
    read_models,
    Column("partition", Integer, primary_key=True),
    Column("level", SmallInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("hashes", LargeBinary, nullable=False),
)
"""The tiles of the tree of each partition; the hashes of a tile follow each other without a gap."""

TABLES = (tree_tiles,)
VERSION = 1

_APPEND = f"""
    INSERT INTO tree_tiles AS tile (partition, level, number, hashes)
    SELECT unnest({array("$1", "int")}), $2::smallint, unnest({array("$3", "bigint")}),
        unnest({array("$4", "bytea")})
    ON CONFLICT (partition, level, number) DO UPDATE SET hashes = tile.hashes || excluded.hashes
"""
_APPEND_AND_RETURN = f"""
    WITH appended AS ({_APPEND} RETURNING partition, number, hashes)
    SELECT partition, hashes FROM appended WHERE (partition, number) IN (
        SELECT unnest({array("$5", "int")}), unnest({array("$6", "bigint")})
    )
"""  # noqa: S608


class _Part(NamedTuple):
    """Hashes that a batch appends to a level of a partition, from index `first` on."""

    first: int
    hashes: Sequence[bytes]


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Append the records of the batch to the trees of their partitions."""
    parts = _leaves(each.folded.raw for each in batch.records)
    level = 0
    while parts:
        parts = await _append(connection, level, parts)
        level += 1


def _leaves(raws: Iterable[RawRecord]) -> Mapping[int, _Part]:
    """Return the hashes of records by partition."""
    hashes: dict[int, list[bytes]] = {}
    firsts: dict[int, int] = {}
    for raw in raws:
        partition, offset = raw.position
        firsts.setdefault(partition, offset)
        hashes.setdefault(partition, []).append(record_hash(raw))
    return {partition: _Part(firsts[partition], hashes[partition]) for partition in hashes}


def record_hash(raw: RawRecord) -> bytes:
    """Return the hash of the leaf of a record."""
    partition, offset = raw.position
    return leaf_hash(canonical_bytes(partition, offset, raw.timestamp_ms, raw.key, raw.value, raw.headers))


async def _append(connection: Connection, level: int, parts: Mapping[int, _Part]) -> Mapping[int, _Part]:
    """Append to the tiles of a level; return the roots of those that are full now, for the level above."""
    tiles = [(partition, tile) for partition, part in parts.items() for tile in appended_to_tiles(*part)]
    continued = [(partition, tile) for partition, tile in tiles if tile.first and tile.fills]
    rows = (
        [partition for partition, _ in tiles],
        level,
        [tile.number for _, tile in tiles],
        [b"".join(tile.hashes) for _, tile in tiles],
    )
    if not continued:
        await connection.execute(_APPEND, *rows)
        return _roots(tiles, {})
    places = [partition for partition, _ in continued], [tile.number for _, tile in continued]
    found = await connection.fetch(_APPEND_AND_RETURN, *rows, *places)
    return _roots(tiles, {row["partition"]: root_in(row["hashes"]) for row in found})


def _roots(tiles: Sequence[tuple[int, Appended]], continued: Mapping[int, bytes]) -> Mapping[int, _Part]:
    """Return the roots of the full tiles; `continued` has those that were begun by an earlier batch."""
    roots: dict[int, list[bytes]] = {}
    firsts: dict[int, int] = {}
    for partition, tile in tiles:
        if tile.fills:
            firsts.setdefault(partition, tile.number)
            root = continued[partition] if tile.first else perfect_root(tile.hashes)
            roots.setdefault(partition, []).append(root)
    return {partition: _Part(firsts[partition], roots[partition]) for partition in roots}
