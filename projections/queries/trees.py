"""Queries of the Merkle trees: their sizes, their roots at any earlier size, and proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from app.errors import Unavailable
from app.merkle.hashes import Node
from app.merkle.proofs import Range, consistency_path, inclusion_path, nodes_in, proof_of
from app.merkle.tiles import hash_in, tile_of
from app.merkle.tree_heads import PartitionTree

_SIZES = "SELECT partition, next_offset FROM checkpoints ORDER BY partition"
_TILES = """
    SELECT partition, level, number, hashes
    FROM unnest($1::int[], $2::smallint[], $3::bigint[]) AS wanted(partition, level, number)
    JOIN tree_tiles USING (partition, level, number)
"""


class TreeQueries:
    """The queries, on a pool of the live generation."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def sizes(self) -> dict[int, int]:
        """Return the sizes of the trees of all partitions, in order."""
        return {row["partition"]: row["next_offset"] for row in await self._pool.fetch(_SIZES)}

    async def trees(self, sizes: Mapping[int, int]) -> list[PartitionTree]:
        """Return the trees of partitions at these sizes. Raise `Unavailable` beyond the present ones."""
        proofs = await self._proofs({partition: [(0, size)] for partition, size in sizes.items()})
        return [PartitionTree(partition, size, proofs[partition][0]) for partition, size in sizes.items()]

    async def inclusion(self, partition: int, index: int, size: int) -> list[bytes]:
        """Return the proof that a leaf is in the tree of a partition at a size. Raise `Unavailable`."""
        return (await self._proofs({partition: inclusion_path(index, size)}))[partition]

    async def leaf(self, partition: int, index: int) -> bytes:
        """Return the hash of a leaf. Raise `Unavailable`."""
        return (await self._proofs({partition: [(index, index + 1)]}))[partition][0]

    async def consistency(self, sizes: Mapping[int, tuple[int, int]]) -> dict[int, list[bytes]]:
        """Return for each partition the proof between two sizes of its tree. Raise `Unavailable`."""
        return await self._proofs(
            {partition: consistency_path(old, new) for partition, (old, new) in sizes.items()}
        )

    async def _proofs(self, paths: Mapping[int, Sequence[Range]]) -> dict[int, list[bytes]]:
        """Return the roots of subtrees of each partition; all tiles are read by one query."""
        wanted = {(partition, *tile_of(node)) for partition, path in paths.items() for node in nodes_in(path)}
        rows = await self._pool.fetch(_TILES, *_columns(wanted)) if wanted else []
        tiles = {(row["partition"], row["level"], row["number"]): row["hashes"] for row in rows}

        def proof(partition: int) -> list[bytes]:
            def hash_of(node: Node) -> bytes:
                return hash_in(tiles[partition, *tile_of(node)], node)

            return proof_of(paths[partition], hash_of)

        try:
            return {partition: proof(partition) for partition in paths}
        except LookupError:
            raise Unavailable("the hash tree has not reached these records yet") from None


def _columns(wanted: set[tuple[int, int, int]]) -> list[list[int]]:
    return [list(column) for column in zip(*wanted, strict=True)]
