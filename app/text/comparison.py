"""Comparison of texts by lines and by words, within a bounded number of steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import Match, SequenceMatcher
from itertools import accumulate, takewhile
from typing import NamedTuple

import regex

from app.text.graphemes import clusters

_WORD = re.compile(r"s*(?:p|w+)|s+")
"""A word of any script or one sign, with the space before it, where each cluster is of a kind."""
_KINDS = (("s", regex.compile(r"\s")), ("p", regex.compile(r"[\p{P}\p{S}]")))


def words_of(text: str) -> list[str]:
    """Split a text into words and signs, each with the space before it; keep grapheme clusters whole."""
    parts = clusters(text)
    kinds = "".join(map(_kind, parts))
    return ["".join(parts[slice(*match.span())]) for match in _WORD.finditer(kinds)]


def _kind(cluster: str) -> str:
    return next((kind for kind, pattern in _KINDS if pattern.match(cluster)), "w")


class Replacement(NamedTuple):
    """A part `[start, end)` of one sequence, and the part `[new_start, new_end)` of another in its place."""

    start: int
    end: int
    new_start: int
    new_end: int


def replacements(before: Sequence[str], after: Sequence[str], steps: int) -> list[Replacement]:
    """Return the parts that differ, in order; after so many steps, of some 0.05 µs, the rest counts as one.

    Blank lines and punctuation alone do not count as common parts.
    """
    start = shared_prefix(before, after)
    rest = min(len(before), len(after)) - start
    end = min(rest, shared_prefix(before[::-1], after[::-1]))
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    found: list[Replacement] = []
    at = new_at = 0
    for alike in _BoundedMatcher(old, new, steps).get_matching_blocks():
        if alike.size and all(map(is_filler, old[alike.a : alike.a + alike.size])):
            continue
        if at < alike.a or new_at < alike.b:
            found.append(Replacement(start + at, start + alike.a, start + new_at, start + alike.b))
        at, new_at = alike.a + alike.size, alike.b + alike.size
    return found


def is_filler(token: str) -> bool:
    """Return whether a line or word has neither letters nor digits."""
    return not any(map(str.isalnum, token))


def shared_prefix(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the common prefix."""
    return sum(1 for _ in takewhile(bool, map(str.__eq__, one, other)))


class _BoundedMatcher(SequenceMatcher[str]):
    """A matcher that stops after a bounded number of steps; the remainder then counts as changed."""

    def __init__(self, before: Sequence[str], after: Sequence[str], steps: int) -> None:
        super().__init__(None, before, after, autojunk=False)
        self.steps_left = steps
        found = Counter(after)
        self.costs = list(accumulate((4 + found[token] for token in before), initial=0))

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> Match:
        self.steps_left -= self.costs[-1 if ahi is None else ahi] - self.costs[alo]
        return super().find_longest_match(alo, ahi, blo, bhi) if self.steps_left > 0 else Match(alo, blo, 0)
