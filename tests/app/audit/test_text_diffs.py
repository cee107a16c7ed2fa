"""Differences of texts: both texts can be put together from them, and they are small and quick."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit.text_diffs import text_diff
from app.text.graphemes import clusters

TEXTS = st.text(st.sampled_from("ab \n-é,"), max_size=40) | st.text(max_size=30)
MOST_S = 0.5
"""CPU time for one text of the largest size; it takes some 20 ms."""


@pytest.mark.parametrize(
    ("before", "after", "segments"),
    [
        pytest.param("", "", [], id="nothing"),
        pytest.param("same", "same", [("=", "same")], id="equal"),
        pytest.param("", "new", [("+", "new")], id="all new"),
        pytest.param("old\n", "", [("-", "old\n")], id="all removed"),
        pytest.param(
            "milk\nbread\ntea\n",
            "milk\noats\ntea\n",
            [("=", "milk\n"), ("-", "bread"), ("+", "oats"), ("=", "\ntea\n")],
            id="a line",
        ),
        pytest.param(
            "pay the rent today",
            "pay the high rent",
            [("=", "pay the"), ("+", " high"), ("=", " rent"), ("-", " today")],
            id="words",
        ),
        pytest.param("naïve", "naive", [("-", "naïve"), ("+", "naive")], id="a letter"),
        pytest.param(
            "a 👩‍👧 b", "a 👩‍👦 b", [("=", "a "), ("-", "👩‍👧"), ("+", "👩‍👦"), ("=", " b")], id="a cluster"
        ),
    ],
)
def test_changed_lines_are_compared_by_words(
    before: str, after: str, segments: list[tuple[str, str]]
) -> None:
    assert text_diff(before, after) == segments


@given(before=TEXTS, after=TEXTS)
def test_both_texts_follow_from_their_difference(before: str, after: str) -> None:
    segments = text_diff(before, after)
    assert "".join(text for sign, text in segments if sign != "+") == before
    assert "".join(text for sign, text in segments if sign != "-") == after
    assert all(text for _, text in segments)
    assert all(one[0] != other[0] for one, other in pairwise(segments))


@given(
    before=st.text(st.sampled_from("ae\u0301 "), max_size=20),
    after=st.text(st.sampled_from("ae\u0301 "), max_size=20),
)
def test_removed_and_added_parts_begin_with_whole_clusters(before: str, after: str) -> None:
    """No mark is put on a letter that it does not belong to."""
    starts = {0}
    for cluster in clusters(before):
        starts.add(max(starts) + len(cluster))
    at = 0
    for sign, text in text_diff(before, after):
        assert at in starts
        at += len(text) if sign != "+" else 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("x\n" * 50_000, "y x\n" * 25_000, id="the same line again and again"),
        pytest.param("a " * 50_000, "b a " * 25_000, id="one long line"),
        pytest.param(
            "\n".join(map(str, range(15_000))), "\n".join(map(str, reversed(range(15_000)))), id="reversed"
        ),
        pytest.param("é" * 100_000, "é" * 99_999 + "e", id="one long word"),
    ],
)
def test_largest_texts_are_compared_in_bounded_time(before: str, after: str) -> None:
    """The worst ones of the bound of an event."""
    began = time.process_time()
    segments = text_diff(before, after)
    assert time.process_time() - began < MOST_S
    assert "".join(text for sign, text in segments if sign != "-") == after
