"""Trees and proofs of the offline verifier, against the definitions of RFC 9162 and known roots."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.offline_verifier import consistent_roots, included_root, leaf_hash, root_of
from tests.thoroughness import examples
from tests.verifier.rfc9162 import consistency, inclusion, tree_hash

SIZES = 20
CONTENTS = [bytes([number]) * number for number in range(SIZES)]
HASHES = [leaf_hash(each) for each in CONTENTS]
KNOWN_CONTENTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
KNOWN_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Those of the reference implementation of certificate transparency."""


def test_roots_are_those_of_certificate_transparency() -> None:
    leaves = [leaf_hash(bytes.fromhex(each)) for each in KNOWN_CONTENTS]
    assert [root_of(leaves[:size]).hex() for size in range(1, 9)] == KNOWN_ROOTS


@pytest.mark.parametrize("size", range(SIZES + 1))
def test_proofs_of_the_rfc_lead_to_the_root(size: int) -> None:
    """Those of each leaf, and from each smaller tree; no other number of hashes is taken."""
    root = tree_hash(CONTENTS[:size])
    assert root_of(HASHES[:size]) == root
    for index in range(size):
        path = inclusion(index, CONTENTS[:size])
        assert included_root(index, size, HASHES[index], path) == root
        for other in ([*path, root], path[:-1]):
            if other != path:
                with pytest.raises(ValueError):
                    included_root(index, size, HASHES[index], other)
    for old_size in range(1, size + 1):
        old_root, path = tree_hash(CONTENTS[:old_size]), consistency(old_size, CONTENTS[:size])
        assert consistent_roots(old_size, size, path, old_root) == (old_root, root)
        for other in ([*path, root], path[:-1]):
            if other != path:
                with pytest.raises(ValueError):
                    consistent_roots(old_size, size, other, old_root)


@settings(max_examples=examples(50))
@given(st.data())
def test_changed_proof_leads_elsewhere(data: st.DataObject) -> None:
    """Of another record, another place, or with another hash."""
    size = data.draw(st.integers(2, SIZES))
    index = data.draw(st.integers(0, size - 1))
    path, root = inclusion(index, CONTENTS[:size]), tree_hash(CONTENTS[:size])
    at = data.draw(st.integers(0, len(path) - 1))
    changed = [*path[:at], leaf_hash(path[at]), *path[at + 1 :]]
    assert included_root(index, size, HASHES[index], changed) != root
    assert included_root(index, size, leaf_hash(b"another"), path) != root
    old_size = data.draw(st.integers(1, size - 1))
    path, old_root = consistency(old_size, CONTENTS[:size]), tree_hash(CONTENTS[:old_size])
    at = data.draw(st.integers(0, len(path) - 1))
    changed = [*path[:at], leaf_hash(path[at]), *path[at + 1 :]]
    assert consistent_roots(old_size, size, changed, old_root) != (old_root, root)
