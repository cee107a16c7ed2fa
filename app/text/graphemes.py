"""Grapheme clusters: user-perceived characters (Unicode Standard Annex 29), which are never divided.

Limits count code points, as JSON Schema's `maxLength` does: their number is the same in every program and in
every version of Unicode. A text that is shortened to a limit is cut between clusters.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

_CLUSTER = regex.compile(r"\X")
_PREPENDED = regex.compile(r"[\p{GCB=Prepend}\r]")
_JOINS_NOTHING = "\u200c"
"""The non-joiner, at a place where the text that it separated was cut off."""
_FAR = 200
"""Code points to search backwards for an ASCII character, from which clusters can be determined."""


def clusters(text: str) -> list[str]:
    """Return the clusters of a text, in order."""
    return list(text) if text.isascii() and "\r" not in text else _CLUSTER.findall(text)


def boundary_before(text: str, at: int) -> int:
    """Return the last boundary between clusters at or before an index."""
    if at <= 0:
        return 0
    if at >= len(text):
        return len(text)
    return max(end for end in _boundaries(text, at) if end <= at)


def boundary_after(text: str, at: int) -> int:
    """Return the first boundary between clusters at or after an index."""
    if at <= 0:
        return 0
    if at >= len(text):
        return len(text)
    return next(end for end in _boundaries(text, at) if end >= at)


def shortened(text: str, limit: int, sign: str = "…") -> str:
    """Shorten a text to at most `limit` code points, with a sign if something was cut off."""
    if len(text) <= limit:
        return text
    kept = text[: boundary_before(text, limit - len(sign))]
    return kept.rstrip(_JOINS_NOTHING).rstrip() + sign


def _boundaries(text: str, at: int) -> Iterator[int]:
    """Yield boundaries in order, starting at or before an index."""
    start = _known_boundary(text, at)
    yield start
    for match in _CLUSTER.finditer(text, start):
        yield match.end()


def _known_boundary(text: str, at: int) -> int:
    """Return an index, at most `at`, that is a boundary regardless of the preceding text."""
    for start in range(at, max(0, at - _FAR), -1):
        if text[start].isascii() and not _PREPENDED.match(text[start - 1]):
            return start
    return 0
