"""Proofs of inclusion and consistency (RFC 9162, 2.1.3 and 2.1.4): what they are made of, and their check.

A proof is a list of roots of subtrees, here as ranges of leaves `(first, end)`. Who has the hashes of a tree
makes the proof with `proof_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from app.merkle.hashes import EMPTY_ROOT, Node, joined, node_hash, nodes_of

Range = tuple[int, int]
Proof = Sequence[bytes]


class WrongProof(Exception):
    """Error for a proof that does not prove what it should; the text says why."""


def inclusion_path(index: int, size: int) -> list[Range]:
    """Return the subtrees that prove that a leaf is in a tree of this size."""
    first, end, path = 0, size, []
    while end - first > 1:
        middle = first + _left_size(end - first)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((first, middle))
            first = middle
    return path[::-1]


def consistency_path(old: int, new: int) -> list[Range]:
    """Return the subtrees that prove that a tree of `new` leaves begins with its first `old` ones."""
    if old in {0, new}:
        return []
    first, end, path = 0, new, []
    while end != old:
        middle = first + _left_size(end - first)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((first, middle))
            first = middle
    # The verifier has the root of the whole old tree already.
    return [*([(first, end)] if first else []), *path[::-1]]


def nodes_in(path: Iterable[Range]) -> set[Node]:
    """Return the perfect subtrees that a proof is made of."""
    return {node for first, end in path for node in nodes_of(first, end)}


def proof_of(path: Iterable[Range], hash_of: Callable[[Node], bytes]) -> list[bytes]:
    """Return the proof, made of the hashes of perfect subtrees."""
    return [joined([hash_of(node) for node in nodes_of(first, end)]) for first, end in path]


def check_inclusion(index: int, size: int, leaf: bytes, proof: Proof, root: bytes) -> None:
    """Check that the leaf is in the tree with this root. Raise `WrongProof`."""
    if not 0 <= index < size:
        raise WrongProof(f"there is no leaf {index} in a tree of {size}")
    found = leaf
    for each, is_left in _climb(index, size - 1, proof):
        found = node_hash(each, found) if is_left else node_hash(found, each)
    if found != root:
        raise WrongProof("the proof leads to another root")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Proof) -> None:
    """Check that the tree of `new` leaves begins with that of `old` ones. Raise `WrongProof`."""
    if not 0 <= old <= new:
        raise WrongProof(f"a tree of {new} leaves cannot continue one of {old}")
    if old in {0, new}:
        if proof:
            raise WrongProof("the proof is too long")
        if old_root != (new_root if old == new else EMPTY_ROOT):
            raise WrongProof("the roots of equal trees differ")
        return
    _check_growth(old, new, old_root, new_root, proof)


def _check_growth(old: int, new: int, old_root: bytes, new_root: bytes, proof: Proof) -> None:
    hashes = list(proof) if old & (old - 1) else [old_root, *proof]
    if not hashes:
        raise WrongProof("the proof is too short")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    found_old = found_new = hashes[0]
    for each, is_left in _climb(at, last, hashes[1:]):
        if is_left:
            found_old, found_new = node_hash(each, found_old), node_hash(each, found_new)
        else:
            found_new = node_hash(found_new, each)
    if found_old != old_root:
        raise WrongProof("the proof leads to another old root")
    if found_new != new_root:
        raise WrongProof("the proof leads to another new root")


def _climb(at: int, last: int, proof: Proof) -> Iterator[tuple[bytes, bool]]:
    """Yield the hashes from a node to the root, and whether each is on the left. Raise `WrongProof`.

    `at` is the place of the node, and `last` that of the last node of its level (RFC 9162, 2.1.3.2, 2.1.4.2).
    """
    for each in proof:
        if last == 0:
            raise WrongProof("the proof is too long")
        is_left = bool(at & 1) or at == last
        yield each, is_left
        if is_left:
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    if last:
        raise WrongProof("the proof is too short")


def _left_size(size: int) -> int:
    """Return the largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1
