"""Mentions: the users that a text names by `@name`, by the usual rules of comments in Markdown."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection
from unicodedata import category

from app.text.graphemes import boundary_after
from app.text.names import caseless, normal_user
from app.text.tokens import stands_alone

_FENCED = re.compile(
    r"^[ \t>]*(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})[^\n]*$.*?(?:^[ \t>]*(?P=fence)[`~]*[ \t\r]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
"""A block of code between fences (CommonMark 0.31, 4.5), to the end of the text if nothing closes it."""

_ADDRESS = re.compile(r"\bhttps?://\S+", re.IGNORECASE)
_BLANK_LINE = re.compile(r"(\n[ \t\r]*\n)")
_BACKTICKS = re.compile(r"`+")
_BLANK = "\0"
"""The replacement of code. No id contains it, because ids have no control characters."""
_JOINERS = "\u200c\u200d"
_INSIDE_NAMES = ".-+@"
"""Characters that continue a name if a word follows directly: `@bob-smith` is not bob, and `@bob.` is."""


def mentions_in(text: str, members: Collection[str]) -> tuple[str, ...]:
    """Return the members whom `text` mentions, in order, each once.

    A mention is `@` and a member's whole id, which may consist of several words; the longest matching id
    counts. Case, width and spelling matter only if several ids differ in nothing else. Parts of mail
    addresses, web addresses and code mention nobody.
    """
    names = Names(members)
    prose = _without_code(text)
    ats = (at for at, character in enumerate(prose) if character == "@")
    found = (names.at(prose, at + 1) for at in ats if at == 0 or not _is_word(prose[at - 1]))
    return tuple(dict.fromkeys(name for name in found if name is not None))


class Names:
    """The ids of users, indexed by their possible spellings."""

    def __init__(self, members: Collection[str]) -> None:
        self._called: dict[str, set[str]] = {}
        for name in members:
            self._called.setdefault(caseless(name), set()).add(name)
        self._in_order = sorted(self._called)

    def at(self, text: str, start: int) -> str | None:
        """Return the longest id that starts here and ends at the end of a word, if there is exactly one."""
        found = self.match(text, start)
        return None if found is None else found[0]

    def match(self, text: str, start: int) -> tuple[str, int] | None:
        """Return the same id as `at`, and its end."""
        longest: tuple[str, int] | None = None
        key, end = "", start
        while end < len(text):
            following = boundary_after(text, end + 1)
            key, end = key + caseless(text[end:following]), following
            if not self._any_begins(key):
                break
            if key in self._called and not _continues(text, end):
                name = self._only_one(self._called[key], text[start:end])
                longest = None if name is None else (name, end)
        return longest

    def _any_begins(self, key: str) -> bool:
        at = bisect_left(self._in_order, key)
        return at < len(self._in_order) and self._in_order[at].startswith(key)

    def _only_one(self, names: set[str], written: str) -> str | None:
        exact = names & {written} or names & {normal_user(written)} or names
        return next(iter(exact)) if len(exact) == 1 else None


def _continues(text: str, at: int) -> bool:
    """Return whether the text that ends here is only the beginning of a longer name.

    In a script without spaces this cannot be determined: there a name ends where a member's name ends.
    """
    following = text[at : at + 2]
    return any(map(_is_word, following[:1])) or (
        following[:1] in _INSIDE_NAMES and any(map(_is_word, following[1:]))
    )


def _is_word(character: str) -> bool:
    if stands_alone(character):
        return False
    return character.isalnum() or character in {"_", *_JOINERS} or category(character).startswith("M")


def _without_code(text: str) -> str:
    """Blank out code and web addresses; keep the length of the text."""
    blanked = _FENCED.sub(_blank_out, text)
    paragraphs = (_without_spans(paragraph) for paragraph in _BLANK_LINE.split(blanked))
    return _ADDRESS.sub(_blank_out, "".join(paragraphs))


def _blank_out(match: re.Match[str]) -> str:
    return _BLANK * len(match[0])


def _without_spans(paragraph: str) -> str:
    """Blank out the code spans of a paragraph: from backticks to the next run of the same length."""
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
        pieces += [paragraph[at : runs[index].start()], _BLANK * (runs[last].end() - runs[index].start())]
        at, index = runs[last].end(), last + 1
    return "".join([*pieces, paragraph[at:]])
