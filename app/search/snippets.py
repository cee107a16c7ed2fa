"""Snippets: the part of a text that matches a search, as HTML with the matching words marked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from app.text.graphemes import boundary_after, boundary_before
from app.text.tokens import Needle, words_of

SNIPPET_CHARACTERS = 160
LEAD_CHARACTERS = 40
"""The approximate length of a snippet before the match."""
MOST_HITS = 100
"""The number of places of a text that are considered for the best one."""

FoundIn = Literal["title", "notes", "comment"]
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Match:
    """The place where a task matches a search: HTML that contains nothing but text and `<mark>`."""

    field: FoundIn
    snippet: str


@dataclass(frozen=True, slots=True)
class _Hit:
    start: int
    end: int
    needle: int


def best_match(needles: Sequence[Needle], texts: Iterable[tuple[FoundIn, str]]) -> tuple[Match | None, int]:
    """Return the first text that matches the most needles, and the number of needles that match."""
    best: tuple[FoundIn, str, list[_Hit]] | None = None
    most = 0
    for field, text in texts:
        hits = _hits(needles, text)
        number = len({hit.needle for hit in hits})
        if number > most:
            best, most = (field, text, hits), number
    if best is None:
        return None, 0
    field, text, hits = best
    return Match(field, snippet(text, hits)), most


def _hits(needles: Sequence[Needle], text: str) -> list[_Hit]:
    words = list(words_of(text))
    forms = [word.form for word in words]
    hits = [
        _Hit(words[at].start, words[at + len(needle.forms) - 1].end, number)
        for number, needle in enumerate(needles)
        if not needle.negated
        for at in needle.found_at(forms)
    ]
    return sorted(hits, key=lambda hit: hit.start)


def snippet(text: str, hits: Sequence[_Hit]) -> str:
    """Return the part of `text` with the most hits; `hits` are in order."""
    best = max(hits[:MOST_HITS], key=lambda hit: (_near(hit, hits), -hit.start))
    start, end = _part(text, best)
    pieces, at = ["…" if start > 0 else ""], start
    for first, last in _marked(text, (hit for hit in hits if start <= hit.start and hit.end <= end)):
        pieces += [_shown(text[at:first]), f"<mark>{_shown(text[first:last])}</mark>"]
        at = last
    return "".join([*pieces, _shown(text[at:end]), "…" if end < len(text) else ""])


def _marked(text: str, hits: Iterable[_Hit]) -> list[tuple[int, int]]:
    """Return the places to mark, in order and disjoint: whole clusters, overlapping hits as one."""
    places: list[tuple[int, int]] = []
    for hit in hits:
        start, end = boundary_before(text, hit.start), boundary_after(text, hit.end)
        if places and start < places[-1][1]:
            places[-1] = places[-1][0], max(places[-1][1], end)
        else:
            places.append((start, end))
    return places


def _near(hit: _Hit, hits: Sequence[_Hit]) -> int:
    reach = hit.start + SNIPPET_CHARACTERS - LEAD_CHARACTERS
    return len({each.needle for each in hits[:MOST_HITS] if hit.start <= each.start and each.end <= reach})


def _part(text: str, hit: _Hit) -> tuple[int, int]:
    """Return the ends of the shown part of a text: whole words unless too long, else clusters."""
    start = max(0, hit.start - LEAD_CHARACTERS)
    end = max(hit.end, min(len(text), start + SNIPPET_CHARACTERS))
    if start > 0 and (space := _SPACE.search(text, start, hit.start)):
        start = space.end()
    if end < len(text) and (spaces := list(_SPACE.finditer(text, hit.end, end))):
        end = spaces[-1].start()
    first, last = boundary_before(text, hit.start), boundary_after(text, hit.end)
    return min(first, boundary_after(text, start)), max(last, boundary_before(text, end))


def _shown(text: str) -> str:
    return escape(_SPACE.sub(" ", text))
