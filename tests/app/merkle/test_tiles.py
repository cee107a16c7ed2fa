"""Tiles: every hash of a tree can be made of one tile, however the leaves were divided among batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.merkle.hashes import HASH_BYTES, Node, leaf_hash
from app.merkle.proofs import nodes_in
from app.merkle.tiles import WIDTH, Tile, appended_to_tiles, hash_in, tile_of
from tests.app.merkle import naive_tree

LEAVES = [leaf_hash(number.to_bytes(2)) for number in range(3 * WIDTH + 5)]


@given(st.integers(0, 2 * WIDTH), st.integers(0, 2 * WIDTH))
def test_hashes_are_divided_among_tiles_without_a_gap(first: int, count: int) -> None:
    hashes = LEAVES[:count]
    tiles = list(appended_to_tiles(first, hashes))
    assert [each for tile in tiles for each in tile.hashes] == hashes
    assert [tile.number * WIDTH + tile.first for tile in tiles] == [
        first + sum(len(tile.hashes) for tile in tiles[:place]) for place in range(len(tiles))
    ]
    assert all(tile.fills == ((tile.first + len(tile.hashes)) % WIDTH == 0) for tile in tiles)


@given(st.integers(1, len(LEAVES)))
def test_each_node_is_made_of_its_tile(size: int) -> None:
    for node in nodes_in([(0, size)]):
        level, number = tile = tile_of(node)
        span = WIDTH**level
        whole = [
            naive_tree.root(LEAVES[first : first + span])
            for first in range(number * WIDTH * span, min((number + 1) * WIDTH * span, size), span)
            if first + span <= size
        ]
        expected = naive_tree.root(LEAVES[node.number << node.level : (node.number + 1) << node.level])
        assert hash_in(b"".join(whole), node) == expected, tile


def test_node_beyond_the_tile_is_missing() -> None:
    assert tile_of(Node(0, WIDTH)) == Tile(0, 1)
    for hashes in (b"", bytes(HASH_BYTES)):
        try:
            hash_in(hashes, Node(1, 0))
        except LookupError:
            continue
        raise AssertionError(hashes)
