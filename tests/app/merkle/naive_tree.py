"""The definitions of RFC 9162, 2.1, word for word: slow, and obviously right."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

Hashes = Sequence[bytes]


def root(leaves: Hashes) -> bytes:
    """Return MTH, of hashes of leaves."""
    match len(leaves):
        case 0:
            return sha256().digest()
        case 1:
            return leaves[0]
        case size:
            k = split(size)
            return sha256(b"\x01" + root(leaves[:k]) + root(leaves[k:])).digest()


def path(index: int, leaves: Hashes) -> list[bytes]:
    """Return PATH."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*path(index, leaves[:k]), root(leaves[k:])]
    return [*path(index - k, leaves[k:]), root(leaves[:k])]


def consistency(old: int, leaves: Hashes) -> list[bytes]:
    """Return PROOF."""
    return subproof(old, leaves, whole=True)


def subproof(old: int, leaves: Hashes, *, whole: bool) -> list[bytes]:
    """Return SUBPROOF."""
    if old == len(leaves):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if old <= k:
        return [*subproof(old, leaves[:k], whole=whole), root(leaves[k:])]
    return [*subproof(old - k, leaves[k:], whole=False), root(leaves[:k])]


def split(size: int) -> int:
    """Return the largest power of two below a size."""
    k = 1
    while k * 2 < size:
        k *= 2
    return k
