"""Grapheme clusters: boundaries, and cutting only between clusters."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from app.text.graphemes import boundary_after, boundary_before, clusters, shortened
from tests.scripts import TEXTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e\u0301a", ["e\u0301", "a"]),
        ("क्षि", ["क्षि"]),
        ("👨‍👩‍👧🇩🇪", ["👨‍👩‍👧", "🇩🇪"]),
        ("a\r\nb", ["a", "\r\n", "b"]),
        ("น้ำ", ["น้ำ"]),
    ],
)
def test_clusters_are_counted_as_characters(text: str, expected: list[str]) -> None:
    assert clusters(text) == expected


@given(TEXTS, st.integers(0, 50))
def test_boundaries_are_those_of_the_standard(text: str, at: int) -> None:
    """In the whole text and locally."""
    ends = [0, *(match.end() for match in regex.finditer(r"\X", text))]
    assert boundary_before(text, at) == max(end for end in ends if end <= at)
    assert boundary_after(text, at) == min((end for end in ends if end >= at), default=len(text))


def test_boundary_deep_in_non_ascii_text_is_found() -> None:
    """Pairs of regional indicators are counted from their beginning, however far it is."""
    flags = "🇩🇪" * 1_000
    assert boundary_before(flags, 1_001) == 1_000
    assert boundary_after(flags, 1_001) == 1_002


@given(TEXTS, st.integers(1, 20))
def test_shortened_text_has_whole_clusters(text: str, limit: int) -> None:
    """No longer than the limit, and with an ellipsis if something was cut off."""
    short = shortened(text, limit)
    assert len(short) <= limit
    if len(text) <= limit:
        assert short == text
        return
    assert short.endswith("…")
    kept = short.removesuffix("…")
    assert text.startswith(kept)
    ends = [end for end in range(limit) if boundary_before(text, end) == end]
    assert kept in {text[:end].rstrip("\u200c").rstrip() for end in ends}
