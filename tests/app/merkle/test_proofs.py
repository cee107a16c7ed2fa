"""Trees and proofs: equal to the definitions of RFC 9162, and to what other programs make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.merkle.hashes import Frontier, Node, leaf_hash, root_of
from app.merkle.proofs import (
    WrongProof,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    proof_of,
)
from tests.app.merkle import naive_tree

LEAVES = [leaf_hash(bytes([number])) for number in range(200)]
CONTENTS = [
    bytes.fromhex(each)
    for each in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The roots of the first contents, from the tests of Certificate Transparency."""
INCLUSION: Mapping[tuple[int, int], Sequence[str]] = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
}
CONSISTENCY: Mapping[tuple[int, int], Sequence[str]] = {
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}

ROOTS_OF_PYMERKLE = "69527bffeb5041cc0c11ce65806b84644dc81c2a5737d943fb7ad2a0315db35d"
"""The SHA-256 of the roots of a tree of 1,000 leaves as it grows; they contain their numbers in two bytes."""
PROOFS_OF_PYMERKLE = "76939f0465a570e6b6edf360748a071b872cab22749fb2c1bba0e3df27af3424"
"""That of the proofs of each leaf in each of its first 64 trees."""

sizes = st.integers(1, len(LEAVES))


def hash_of(node: Node, leaves: list[bytes] = LEAVES) -> bytes:
    """Return the hash of a perfect subtree by its definition."""
    first, end = node.number << node.level, (node.number + 1) << node.level
    assert end <= len(leaves)
    return naive_tree.root(leaves[first:end])


def test_vectors_of_certificate_transparency() -> None:
    leaves = [leaf_hash(each) for each in CONTENTS]
    assert [root_of(leaves[:size]).hex() for size in range(9)] == list(ROOTS)
    for (index, size), proof in INCLUSION.items():
        found = proof_of(inclusion_path(index, size), lambda node: hash_of(node, leaves))
        assert [each.hex() for each in found] == list(proof)
        check_inclusion(index, size, leaves[index], found, bytes.fromhex(ROOTS[size]))
    for (old, new), proof in CONSISTENCY.items():
        found = proof_of(consistency_path(old, new), lambda node: hash_of(node, leaves))
        assert [each.hex() for each in found] == list(proof)
        check_consistency(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), found)


def test_roots_and_inclusion_proofs_are_those_of_another_library() -> None:
    """Made with pymerkle 7.0.0: all roots up to 1,000 leaves, and all proofs up to 64."""
    leaves = [leaf_hash(number.to_bytes(2)) for number in range(1_000)]
    frontier, roots, proofs = Frontier(), sha256(), sha256()
    for leaf in leaves:
        frontier.append(leaf)
        roots.update(frontier.root)
    for size in range(1, 65):
        for index in range(size):
            proof = proof_of(inclusion_path(index, size), lambda node: hash_of(node, leaves))
            proofs.update(b"".join(proof))
    assert [roots.hexdigest(), proofs.hexdigest()] == [ROOTS_OF_PYMERKLE, PROOFS_OF_PYMERKLE]


@given(sizes, st.data())
def test_inclusion_proofs_are_those_of_the_definition(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = proof_of(inclusion_path(index, size), hash_of)
    assert proof == naive_tree.path(index, LEAVES[:size])
    check_inclusion(index, size, LEAVES[index], proof, naive_tree.root(LEAVES[:size]))


@given(sizes, st.data())
def test_consistency_proofs_are_those_of_the_definition(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, new))
    proof = proof_of(consistency_path(old, new), hash_of)
    assert proof == (naive_tree.consistency(old, LEAVES[:new]) if old else [])
    check_consistency(old, new, naive_tree.root(LEAVES[:old]), naive_tree.root(LEAVES[:new]), proof)


@given(sizes, st.data())
def test_inclusion_of_another_leaf_place_tree_or_proof_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root, proof = root_of(LEAVES[:size]), proof_of(inclusion_path(index, size), hash_of)
    other = data.draw(st.integers(0, len(LEAVES)).filter(lambda each: each != index))
    for arguments in (
        (index, size, leaf_hash(b"other"), proof, root),
        (other, size, LEAVES[index], proof, root),
        (index, size, LEAVES[index], proof, leaf_hash(b"other")),
        (index, size, LEAVES[index], [*proof, root], root),
        (index, size, LEAVES[index], changed(proof, data), root),
        (-1, size, LEAVES[index], proof, root),
    ):
        with pytest.raises(WrongProof):
            check_inclusion(*arguments)


@given(sizes, st.data())
def test_consistency_of_another_tree_or_proof_is_refused(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    roots, proof = (
        (root_of(LEAVES[:old]), root_of(LEAVES[:new])),
        proof_of(consistency_path(old, new), hash_of),
    )
    other = leaf_hash(b"other")
    for arguments in (
        (old, new, other, roots[1], proof),
        (old, new, roots[0], other, proof),
        (old, new, *roots, [*proof, other]),
        (old, new, *roots, changed(proof, data)),
        (new + 1, new, *roots, proof),
    ):
        with pytest.raises(WrongProof):
            check_consistency(*arguments)


def changed(proof: list[bytes], data: st.DataObject) -> list[bytes]:
    """Return the proof without one of its hashes, or with another one; one too many for an empty proof."""
    if not proof:
        return [leaf_hash(b"other")]
    place = data.draw(st.integers(0, len(proof) - 1))
    replacement = data.draw(st.sampled_from([[], [leaf_hash(b"other")]]))
    return [*proof[:place], *replacement, *proof[place + 1 :]]
