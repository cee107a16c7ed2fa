"""Trees and proofs as RFC 9162, section 2.1, defines them: slow, and by lists of leaves."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """Return `MTH(D[n])` of these contents of leaves."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    left = split(len(leaves))
    return sha256(b"\1" + tree_hash(leaves[:left]) + tree_hash(leaves[left:])).digest()


def inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return `PATH(m, D[n])`."""
    if len(leaves) == 1:
        return []
    left = split(len(leaves))
    if index < left:
        return [*inclusion(index, leaves[:left]), tree_hash(leaves[left:])]
    return [*inclusion(index - left, leaves[left:]), tree_hash(leaves[:left])]


def consistency(size: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """Return `SUBPROOF(m, D[n], b)`, which with `whole` is `PROOF(m, D[n])`."""
    if size == len(leaves):
        return [] if whole else [tree_hash(leaves)]
    left = split(len(leaves))
    if size <= left:
        return [*consistency(size, leaves[:left], whole=whole), tree_hash(leaves[left:])]
    return [*consistency(size - left, leaves[left:], whole=False), tree_hash(leaves[:left])]


def split(size: int) -> int:
    """Return the largest power of two below a size."""
    power = 1
    while power * 2 < size:
        power *= 2
    return power
