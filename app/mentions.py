"""Mentions: who a text calls by `@name`, as people expect it of comments in Markdown."""

from __future__ import annotations

import re
from collections.abc import Collection
from unicodedata import category

_FENCED = re.compile(
    r"^[ \t>]*(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})[^\n]*$.*?(?:^[ \t>]*(?P=fence)[`~]*[ \t\r]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
"""A block of code between fences (CommonMark 0.31, 4.5), to the end of the text if nothing closes it."""

_ADDRESS = re.compile(r"\bhttps?://\S+", re.IGNORECASE)
_BLANK_LINE = re.compile(r"(\n[ \t\r]*\n)")
_BACKTICKS = re.compile(r"`+")
_BLOT = "\0"
"""Stands where code was. No id has it: they are printable."""
_JOINERS = "\u200c\u200d"
_INSIDE_NAMES = ".-+@"
"""These go on with a name if a word follows them at once: `@bob-smith` is not bob, and `@bob.` is."""


def mentions_in(text: str, members: Collection[str]) -> tuple[str, ...]:
    """The members whom `text` mentions, in order, each once.

    A mention is `@` and a member's whole id, which may be of several words; the longest id that fits counts.
    In which case it is written matters only if several ids differ in nothing else. What is part of a mail or
    web address or of code mentions nobody.
    """
    names = _Names(members)
    prose = _without_code(text)
    ats = (at for at, character in enumerate(prose) if character == "@")
    found = (names.at(prose, at + 1) for at in ats if at == 0 or not _is_word(prose[at - 1]))
    return tuple(dict.fromkeys(name for name in found if name is not None))


class _Names:
    """The members' ids, by how they may be written."""

    def __init__(self, members: Collection[str]) -> None:
        self._exact = frozenset(members)
        self._folded: dict[str, set[str]] = {}
        lengths: dict[str, set[int]] = {}
        for name in self._exact:
            self._folded.setdefault(name.casefold(), set()).add(name)
            lengths.setdefault(name[:1].casefold(), set()).add(len(name))
        self._lengths = {first: sorted(those, reverse=True) for first, those in lengths.items()}

    def at(self, text: str, start: int) -> str | None:
        """The longest id that starts here and ends where a word ends, if there is one and only one."""
        for length in self._lengths.get(text[start : start + 1].casefold(), ()):
            written = text[start : start + length]
            names = {written} & self._exact or self._folded.get(written.casefold(), set())
            if written and names and not _goes_on(text, start + length):
                return next(iter(names)) if len(names) == 1 else None
        return None


def _goes_on(text: str, at: int) -> bool:
    """Whether what ends here is only the beginning of a longer name."""
    following = text[at : at + 2]
    return any(map(_is_word, following[:1])) or (
        following[:1] in _INSIDE_NAMES and any(map(_is_word, following[1:]))
    )


def _is_word(character: str) -> bool:
    return character.isalnum() or character in {"_", *_JOINERS} or category(character).startswith("M")


def _without_code(text: str) -> str:
    """The text with code and web addresses blotted out, as long as before."""
    blotted = _FENCED.sub(_blot, text)
    paragraphs = (_without_spans(paragraph) for paragraph in _BLANK_LINE.split(blotted))
    return _ADDRESS.sub(_blot, "".join(paragraphs))


def _blot(match: re.Match[str]) -> str:
    return _BLOT * len(match[0])


def _without_spans(paragraph: str) -> str:
    """A paragraph without its code spans: from backticks to the next ones of the same number."""
    runs = list(_BACKTICKS.finditer(paragraph))
    closing: dict[int, int] = {}
    ends: dict[int, int] = {}
    for index in range(len(runs) - 1, -1, -1):
        length = len(runs[index][0])
        if length in closing:
            ends[index] = closing[length]
        closing[length] = index
    pieces, at, index = [], 0, 0
    while index < len(runs):
        last = ends.get(index, index)
        pieces += [paragraph[at : runs[index].start()], _BLOT * (runs[last].end() - runs[index].start())]
        at, index = runs[last].end(), last + 1
    return "".join([*pieces, paragraph[at:]])
