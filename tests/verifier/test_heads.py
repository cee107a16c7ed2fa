"""Signed heads, as the offline verifier reads them: signatures, roots and witnesses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.offline_verifier import Wrong, check_views, read_heads, read_keys
from tests.verifier.signing import ORIGIN, Signer, head_text, note

LOG, NEXT, STRANGER = Signer(1), Signer(2), Signer(3)
WITNESS = Signer(4, kind=4, name="witness.example/w1")
RECORDS = [[b"one", b"two"], [], [b"three"]]
BODY = head_text(RECORDS)
SIGNED = note(BODY, LOG.line(BODY))


def wrong(text: str, *keys: str) -> str:
    """Return why this is no signed head."""
    with pytest.raises(Wrong) as caught:
        read_heads(text, read_keys(keys or (LOG.key,)), "it")
    return str(caught.value)


def signed(body: str) -> str:
    """Return a text with the right signature."""
    return note(body, LOG.line(body))


def test_note_of_the_go_library_is_verified() -> None:
    """The example of golang.org/x/mod/sumdb/note: its signature is right, though its text is no head."""
    key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n\n"
        f"\u2014 PeterNeumann {signature}\n"
    )
    assert wrong(text, key) == "it is not a tree head: origin, size, root, time and partitions"
    assert "is wrong" in wrong(text.replace("answer", "Answer"), key)


def test_head_has_its_sizes_and_signers() -> None:
    [head] = read_heads(SIGNED, read_keys([LOG.key]), "it")
    assert (head.origin, head.size, [size for size, _ in head.partitions]) == (ORIGIN, 3, [2, 0, 1])
    assert [name.partition(" ")[0] for name in head.signers] == [ORIGIN]


def test_one_known_key_suffices_and_each_known_one_must_be_right(tmp_path: Path) -> None:
    """While keys change, a head has the signatures of both; keys may be in a file."""
    both = note(BODY, NEXT.line(BODY), LOG.line(BODY))
    assert len(read_heads(both, read_keys([LOG.key]), "it")[0].signers) == 1
    (tmp_path / "keys").write_text(f"# of 2026\n{LOG.key}\n\n{NEXT.key}\n")
    assert len(read_heads(both, read_keys([str(tmp_path / "keys")]), "it")[0].signers) == 2
    assert wrong(SIGNED, STRANGER.key) == f"it is not signed by a given key of {ORIGIN}"
    assert "is wrong" in wrong(note(BODY, NEXT.line(BODY + "more\n"), LOG.line(BODY)), LOG.key, NEXT.key)


def test_key_of_the_time_must_have_signed(tmp_path: Path) -> None:
    """A former key that was stolen signs nothing later; the first head of a key has both signatures."""
    known = [
        {"key": LOG.key, "since": "2026-01-01T00:00:00Z"},
        {"key": NEXT.key, "since": "2026-11-01T00:00:00Z"},
    ]
    (tmp_path / "keys").write_text(json.dumps({"keys": known}))
    keys = str(tmp_path / "keys")
    assert NEXT.key.split("+")[1] in wrong(SIGNED, keys)
    assert len(read_heads(note(BODY, NEXT.line(BODY)), read_keys([keys]), "it")[0].signers) == 1
    assert (
        len(read_heads(note(BODY, NEXT.line(BODY), LOG.line(BODY)), read_keys([keys]), "it")[0].signers) == 2
    )
    earlier = head_text(RECORDS, time="2026-10-31T23:59:59.999999Z")
    assert len(read_heads(note(earlier, LOG.line(earlier)), read_keys([keys]), "it")[0].signers) == 1


def test_given_witnesses_must_have_cosigned() -> None:
    cosigned = SIGNED + WITNESS.cosignature(BODY, 1679315147)
    [head] = read_heads(cosigned, read_keys([LOG.key, WITNESS.key]), "it")
    assert head.signers[1].endswith(" at 2023-03-20T12:25:47.000+00:00")
    assert wrong(SIGNED, LOG.key, WITNESS.key) == "it is not cosigned by witness.example/w1"
    other = SIGNED + WITNESS.cosignature(BODY + "more\n", 1679315147)
    assert "the signature of witness.example/w1" in wrong(other, LOG.key, WITNESS.key)
    assert "not signed by a given key" in wrong(note(BODY, WITNESS.cosignature(BODY, 1)), WITNESS.key)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("\n3\n", "\n4\n", "do not add up to 4"),
        ("partition 1 0", "partition 2 0", "partition 1 is malformed or missing"),
        ("partition 0 2", "partition 0 02", "partition 0 is malformed or missing"),
        ("time ", "at ", "is not a tree head"),
        ("partition 0 2", "partition 0 1", "do not add up"),
        (BODY.split("\n")[2], BODY.split("\n")[-2].split(" ")[-1], "its root is not that of its partitions"),
    ],
)
def test_head_that_contradicts_itself_is_refused(old: str, new: str, reason: str) -> None:
    """Also if it is signed."""
    assert old in BODY
    assert reason in wrong(signed(BODY.replace(old, new, 1)))


def test_heads_that_contradict_each_other_are_named() -> None:
    """The same size with another root, or a partition that became smaller: proof that the log was changed."""
    other = head_text([[b"one", b"TWO"], [b"four"], [b"three"]])
    [before, after] = read_heads(SIGNED + "\n" + signed(other), read_keys([LOG.key]), "it")
    with pytest.raises(Wrong, match="two signed heads contradict each other in partition 0"):
        check_views([after, before])
    [shorter] = read_heads(signed(head_text([[b"one"], [b"1"] * 9, [b"3"]])), read_keys([LOG.key]), "it")
    with pytest.raises(Wrong, match="contradict each other in partition 0"):
        check_views([before, shorter])
    foreign = head_text(RECORDS, origin="another")
    assert wrong(signed(foreign)) == "it is not signed by a given key of another"
    other_log = Signer(1, name="another")
    [head] = read_heads(note(foreign, other_log.line(foreign)), read_keys([other_log.key]), "it")
    with pytest.raises(Wrong, match="of different logs"):
        check_views([before, head])


@given(st.integers(0, len(SIGNED) - 1), st.characters(exclude_categories=["Cs"]))
def test_no_changed_character_is_accepted(at: int, other: str) -> None:
    """Unless it is white space after the end, or the name of an unknown key."""
    changed = SIGNED[:at] + other + SIGNED[at + 1 :]
    try:
        heads = read_heads(changed, read_keys([LOG.key]), "it")
    except Wrong:
        return
    assert [head.text for head in heads] == [BODY]
