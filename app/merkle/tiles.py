"""Tiles: the hashes of a tree, 32 in a row, so that few rows are read for a proof.

The tiles of level 0 contain the hashes of leaves. Those of level 1 contain the roots of the full tiles of
level 0, and so on. Hashes are only appended to tiles, and a full tile never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.merkle.hashes import HASH_BYTES, Node, perfect_root

HEIGHT = 5
WIDTH = 1 << HEIGHT
"""The number of hashes in a full tile. It has 1 KiB, so that PostgreSQL keeps it inside its row."""


class Tile(NamedTuple):
    """The place of a tile: its level, and its number from the left."""

    level: int
    number: int


class Appended(NamedTuple):
    """Hashes that are appended to a tile, from its place `first` on."""

    number: int
    first: int
    hashes: Sequence[bytes]

    @property
    def fills(self) -> bool:
        """Return whether the tile is full then."""
        return self.first + len(self.hashes) == WIDTH


def tile_of(node: Node) -> Tile:
    """Return the tile whose hashes the node is made of."""
    level, height = divmod(node.level, HEIGHT)
    return Tile(level, node.number >> (HEIGHT - height))


def hash_in(hashes: bytes, node: Node) -> bytes:
    """Return the hash of a node, made of the hashes of its tile. Raise `LookupError` if it lacks some."""
    height = node.level % HEIGHT
    first = (node.number << height) % WIDTH
    end = first + (1 << height)
    if len(hashes) < end * HASH_BYTES:
        raise LookupError(node)
    return perfect_root([_at(hashes, place) for place in range(first, end)])


def root_in(hashes: bytes) -> bytes:
    """Return the root of a full tile, which is appended to the level above."""
    return perfect_root([_at(hashes, place) for place in range(WIDTH)])


def appended_to_tiles(first: int, hashes: Sequence[bytes]) -> Iterator[Appended]:
    """Divide the hashes of a level, which begin at index `first`, among its tiles."""
    done = 0
    while done < len(hashes):
        number, place = divmod(first + done, WIDTH)
        part = hashes[done : done + WIDTH - place]
        yield Appended(number, place, part)
        done += len(part)


def _at(hashes: bytes, place: int) -> bytes:
    return hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]
