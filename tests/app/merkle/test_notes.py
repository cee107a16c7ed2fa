"""Notes, keys and tree heads as text: as other programs write them, and nothing else is accepted."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.merkle.hashes import EMPTY_ROOT, leaf_hash
from app.merkle.notes import (
    COSIGNATURE,
    MAX_SIGNATURES,
    Note,
    PublicKey,
    Signature,
    Unreadable,
    cosigned_message,
)
from app.merkle.proofs import check_inclusion
from app.merkle.tree_heads import PartitionTree, TreeHead
from streams.tree_heads.keys import verify
from tests.sources import ROOT

KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJ"
    "nAM=\n"
)
"""A note of the package `golang.org/x/mod/sumdb/note`, and its key."""
TIME = datetime(2026, 11, 30, 10, 44, 3, 120_000, tzinfo=UTC)
HEAD = TreeHead(
    "example.com/log",
    TIME,
    (
        PartitionTree(0, 2, leaf_hash(b"a")),
        PartitionTree(1, 0, EMPTY_ROOT),
        PartitionTree(2, 7, leaf_hash(b"b")),
    ),
)

trees = st.lists(
    st.tuples(st.integers(0, 2**62), st.binary(min_size=32, max_size=32)), min_size=1, max_size=9
)


def test_note_of_another_program_is_verified() -> None:
    note, key = Note.parse(NOTE), PublicKey.parse(KEY)
    assert note.signed_by([key], verify) == [key]
    assert (str(note), str(key)) == (NOTE, KEY)


def test_example_of_the_reference_is_a_tree_head_that_its_key_signed() -> None:
    page = (ROOT / "docs/reference/tree-heads.md").read_text()
    example, key = re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    note, public = Note.parse(example), PublicKey.parse(key.strip())
    assert note.signed_by([public], verify) == [public]
    assert TreeHead.parse(note.text).size == 173


def test_changed_note_is_refused() -> None:
    key = PublicKey.parse(KEY)
    with pytest.raises(Unreadable, match="the signature of PeterNeumann is wrong"):
        Note.parse(NOTE.replace("answer", "Answer")).signed_by([key], verify)
    assert Note.parse(NOTE).signed_by([PublicKey("Peter", key.key)], verify) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "text\n",
        "text\n\nno signature\n",
        "text\n\n— name AAAA\n",
        NOTE.rstrip("\n"),
        NOTE.replace("problem,", "problem,\t"),
        NOTE.replace("BwJnAM=", "BwJnAM"),
        NOTE.replace("— Peter", "- Peter"),
        NOTE + NOTE.rpartition("\n\n")[2] * 100,
    ],
)
def test_text_that_is_no_note_is_refused(content: str) -> None:
    with pytest.raises(Unreadable):
        Note.parse(content)


@pytest.mark.parametrize(
    "text", ["", "a+b", KEY.replace("c74f", "c74e"), KEY[:-4], KEY.replace("+ARpc", "+Axpc")]
)
def test_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        PublicKey.parse(text)


def test_cosignature_of_a_witness_is_verified() -> None:
    """It signs the time too."""
    private = Ed25519PrivateKey.generate()
    key = PublicKey("witness.example.com/w1", private.public_key().public_bytes_raw(), COSIGNATURE)
    time_s = 1_679_315_147
    signature = private.sign(cosigned_message(str(HEAD), time_s))
    for seconds, is_right in ((time_s, True), (time_s + 1, False)):
        line = Signature(key.name, key.id, seconds.to_bytes(8) + signature)
        note = Note.parse(str(Note(str(HEAD), (line,))))
        if is_right:
            assert note.signed_by([key], verify) == [key]
        else:
            with pytest.raises(Unreadable):
                note.signed_by([key], verify)


def test_signatures_are_added_once() -> None:
    note = Note.parse(NOTE)
    more = Signature("other", b"1234", b"x")
    assert note.with_signatures([*note.signatures, more, more]).signatures == (*note.signatures, more)
    later = Signature("other", b"1234", b"y")
    assert note.with_signatures([more, later]).signatures == (*note.signatures, later)
    many = [Signature(f"n{number}", b"1234", b"x") for number in range(200)]
    assert len(Note.parse(str(note.with_signatures(many))).signatures) == MAX_SIGNATURES


@given(trees)
def test_tree_head_is_read_as_it_was_written(found: list[tuple[int, bytes]]) -> None:
    head = TreeHead("a/b", TIME, tuple(PartitionTree(place, *each) for place, each in enumerate(found)))
    assert TreeHead.parse(str(head)) == head
    for tree in head.trees:
        proof = head.partition_proof(tree.partition)
        check_inclusion(tree.partition, len(found), tree.leaf, proof, head.root)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("\n9\n", "\n8\n", "size"),
        ("partition 2 7", "partition 2 07", "partition 2"),
        ("partition 1 0", "partition 3 0", "partition 1"),
        ("partition 0 2", "partition 0 1", "size"),
        ("time 2026", "time 20x6", "time"),
        ("T10:44", "T10:45", None),
        ("T10:44", "T30:44", "time"),
        ("example.com", "example com", "origin"),
        (".120000Z", ".12Z", "written"),
        ("partition 2 7 ", "partition 2 7  ", "base64"),
    ],
)
def test_tree_head_whose_parts_disagree_is_refused(old: str, new: str, reason: str | None) -> None:
    text = str(HEAD).replace(old, new)
    assert text != str(HEAD)
    if reason is None:
        TreeHead.parse(text)
        return
    with pytest.raises(Unreadable, match=reason):
        TreeHead.parse(text)


def test_tree_head_with_another_root_is_refused() -> None:
    lines = str(HEAD).split("\n")
    lines[2] = str(HEAD).split("\n")[4].rpartition(" ")[2]
    with pytest.raises(Unreadable, match="root"):
        TreeHead.parse("\n".join(lines))
