"""Unambiguous JSON."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from app.errors import Malformed
from app.text.json_text import MAX_DEPTH, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_encoded_json_is_decoded(value: object) -> None:
    """Unless it is too deep."""
    assert read_json(to_json(value)) == value


@given(st.binary(max_size=40))
def test_any_bytes_are_decoded_or_malformed(text: bytes) -> None:
    """No other exception is raised."""
    with contextlib.suppress(Malformed):
        read_json(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b'{"a":1,"a":1}', "names 'a' twice"),
        (b'[{"a":{"b":1,"b":2}}]', "names 'b' twice"),
        (b"NaN", "holds NaN"),
        (b"[-Infinity]", "holds -Infinity"),
        (b"9" * 5000, "a number that is too long"),
        (b"{", "line 1, column 2"),
        (b"", "not JSON"),
        (b"[1] x", "not JSON"),
        *((b"[" * depth + b"]" * depth, "nested more than 32 deep") for depth in (33, 955, 958, 100_000)),
    ],
)
def test_ambiguous_json_is_malformed(text: bytes, words: str) -> None:
    """With the place, or the reason."""
    with pytest.raises(Malformed, match=words):
        read_json(text)


def test_depth_is_bounded_exactly() -> None:
    assert read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert read_json(b"\xef\xbb\xbf{}") == {}
