"""Hashes of the Merkle trees of RFC 9162, and the positions of perfect subtrees in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()
"""The root of a tree without leaves."""


class Node(NamedTuple):
    """The root of a perfect subtree: of the leaves from `number << level` to `(number + 1) << level`."""

    level: int
    number: int


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node."""
    return sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root above a power of two of hashes."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return hashes[0]


def nodes_of(first: int, end: int) -> list[Node]:
    """Return the perfect subtrees that make up the leaves `[first, end)`, from left to right.

    `first` is a multiple of the largest power of two that is at most `end - first`, as in all subtrees of a
    tree.
    """
    nodes = []
    while first < end:
        level = (end - first).bit_length() - 1
        nodes.append(Node(level, first >> level))
        first += 1 << level
    return nodes


def joined(hashes: Sequence[bytes]) -> bytes:
    """Return the root above perfect subtrees, whose sizes decrease from left to right."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


class Frontier:
    """The perfect subtrees of a tree that grows: what is needed to append leaves, and to know its root."""

    __slots__ = ("_hashes", "size")

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Append the hash of a leaf."""
        rest = self.size
        while rest & 1:
            leaf = sha256(b"\x01" + self._hashes.pop() + leaf).digest()
            rest >>= 1
        self._hashes.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        """The root of the tree so far."""
        return joined(self._hashes)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root of a tree with these hashes of leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root
