"""Heads and proofs that the service makes, as the offline verifier reads them: neither knows the other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.merkle.hashes import leaf_hash, root_of
from app.merkle.notes import Note
from app.merkle.proofs import consistency_path, inclusion_path
from app.merkle.tree_heads import PartitionTree, TreeHead
from streams.tree_heads.keys import SigningKey
from tasktape.offline_verifier import Wrong, consistent_roots, included_root, read_heads, read_keys
from tests.thoroughness import examples

KEY = SigningKey.of_seed("tasktape/here/task-events", datetime(2026, 1, 1, tzinfo=UTC), bytes(32))
SIZES = st.integers(0, 300)
LEAVES = [leaf_hash(number.to_bytes(2)) for number in range(301)]


def proof_of(path: list[tuple[int, int]]) -> list[bytes]:
    """Return the proof of the service that these ranges of leaves make."""
    return [root_of(LEAVES[first:end]) for first, end in path]


@settings(max_examples=examples(60))
@given(st.data())
def test_proofs_of_the_service_lead_to_its_roots(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    index, old_size = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    root, old_root = root_of(LEAVES[:size]), root_of(LEAVES[:old_size])
    path = proof_of(inclusion_path(index, size))
    assert included_root(index, size, LEAVES[index], path) == root
    path = proof_of(consistency_path(old_size, size))
    assert consistent_roots(old_size, size, path, old_root) == (old_root, root)


@settings(max_examples=examples(30))
@given(st.lists(SIZES, min_size=1, max_size=9), st.datetimes(timezones=st.just(UTC)))
def test_heads_of_the_service_are_read(sizes: list[int], time: datetime) -> None:
    """And those of another key are not."""
    trees = [PartitionTree(number, size, root_of(LEAVES[:size])) for number, size in enumerate(sizes)]
    head = TreeHead(KEY.public.name, time, trees)
    note = str(Note(str(head), (KEY.sign(str(head)),)))
    [read] = read_heads(note, read_keys([str(KEY.public)]), "it")
    assert (read.size, read.text) == (head.size, str(head))
    assert read.partitions == [(tree.size, tree.root) for tree in trees]
    stranger = SigningKey.of_seed(KEY.public.name, KEY.since, bytes(31) + b"1")
    with pytest.raises(Wrong, match="not signed by a given key"):
        read_heads(note, read_keys([str(stranger.public)]), "it")
