"""The words of a quick text: plain words, literal text, and signs.

`#home` is a tag, `@bob` a person, `!high` a priority. Text between quotation marks, or after a backslash that
escapes it, is literal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from unicodedata import category

from app.quick_add.blanks import plain_blanks
from app.tasks.mentions import Names
from app.text.names import label_of
from app.values import MAX_LABEL_CHARS, Priority

PRIORITIES: Mapping[str, Priority] = {
    "none": "none",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "urgent": "urgent",
    "4": "low",
    "3": "medium",
    "2": "high",
    "1": "urgent",
}
SIGNS: Mapping[str, Literal["tags", "assignees", "priority"]] = {
    "#": "tags",
    "\uff03": "tags",
    "@": "assignees",
    "\uff20": "assignees",
    "!": "priority",
    "\uff01": "priority",
}
"""The signs, with their forms on East Asian keyboards."""
CLOSING = {'"': '"', "\u201c": "\u201d"}
_PUNCTUATION = ",;.:!?"
_NOT_IN_TAGS = frozenset('#"\\()[]{}<>\u201c\u201d')
_WORD = re.compile(r"[^ ]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a literal text; `value` is the value of a sign, or a literal text without its marks."""

    start: int
    end: int
    text: str
    kind: Literal["plain", "quoted", "escaped", "tags", "assignees", "priority"] = "plain"
    value: str | None = None

    @property
    def is_sign(self) -> bool:
        """Return whether it is a sign that sets a field of the task."""
        return self.kind in SIGNS.values() and self.value is not None


def words_of(
    text: str, people: Collection[str], me: str, phrase_end: Callable[[int], int | None]
) -> list[Word]:
    """Return the words of a text in order; `phrase_end` returns the end of a date that begins at an index."""
    return list(_Words(text, people, me, phrase_end))


class _Words:
    def __init__(
        self, text: str, people: Collection[str], me: str, phrase_end: Callable[[int], int | None]
    ) -> None:
        self._text = text
        self._blank = plain_blanks(text)
        self._names = Names(people)
        self._me = me
        self._phrase_end = phrase_end

    def __iter__(self) -> Iterator[Word]:
        at = 0
        while (match := _WORD.search(self._blank, at)) is not None:
            word = self._word(match.start(), match.end())
            yield word
            at = word.end

    def _word(self, start: int, end: int) -> Word:
        first = self._text[start]
        found = None
        if first in CLOSING:
            found = self._quoted(start)
        elif first == "\\":
            found = self._escaped(start, end)
        elif SIGNS.get(first) == "tags":
            found = self._tag(start, end)
        elif SIGNS.get(first) == "assignees":
            found = self._person(start, end)
        elif SIGNS.get(first) == "priority":
            found = self._priority(start, end)
        return found or Word(start, end, self._text[start:end])

    def _quoted(self, start: int) -> Word | None:
        close = self._closing(start)
        if close is None:
            return None
        end = close + 1
        while end < len(self._blank) and self._blank[end] != " ":
            end += 1
        return Word(start, end, self._text[start:end], "quoted", self._quoted_text(start, close, end))

    def _closing(self, start: int) -> int | None:
        """Return the end of a quotation that begins at `start`: at a mark that no letter follows."""
        mark, at = CLOSING[self._text[start]], start + 1
        while at < len(self._text):
            if self._text[at] == "\\":
                at += 1
            elif self._text[at] == mark and not self._text[at + 1 : at + 2].isalnum():
                return at
            at += 1
        return None

    def _quoted_text(self, start: int, close: int, end: int) -> str | None:
        """Return the content of a quotation without its marks, or None if the word contains more."""
        return re.sub(r"\\([\\\"])", r"\1", self._text[start + 1 : close]) if end == close + 1 else None

    def _escaped(self, start: int, end: int) -> Word | None:
        rest = start + 1
        phrase_end = self._phrase_end(rest)
        if phrase_end is not None:
            end = max(end, phrase_end)
        elif self._text[rest : rest + 1] not in {*SIGNS, *CLOSING, "\\"}:
            return None
        return Word(start, end, self._text[start:end], "escaped", self._text[rest:end])

    def _tag(self, start: int, end: int) -> Word | None:
        if self._text[start + 1 : start + 2] in CLOSING:
            close = self._closing(start + 1)
            name = "" if close is None else self._text[start + 2 : close].strip()
            stop = None if close is None else self._stop(close + 1)
        else:
            name = self._text[start + 1 : end].rstrip(_PUNCTUATION)
            stop = end
            if name.isdigit() or not _NOT_IN_TAGS.isdisjoint(name) or category(name[:1] or " ")[0] in "PZ":
                return None
        if stop is None:
            return None
        with suppress(ValueError):  # Text that cannot be a tag is part of the title.
            return Word(start, stop, self._text[start:stop], "tags", label_of(name, MAX_LABEL_CHARS))
        return None

    def _stop(self, at: int) -> int | None:
        """Return the end of the word if only punctuation follows from `at` on."""
        while self._blank[at : at + 1] in set(_PUNCTUATION):
            at += 1
        return at if self._blank[at : at + 1] in {"", " "} else None

    def _person(self, start: int, end: int) -> Word | None:
        found = self._names.match(self._text, start + 1)
        stop = None if found is None else self._stop(found[1])
        if found is not None and stop is not None:
            return Word(start, stop, self._text[start:stop], "assignees", found[0])
        name = self._text[start + 1 : end].rstrip(_PUNCTUATION)
        if self._me and name.lower() == "me":
            return Word(start, end, self._text[start:end], "assignees", self._me)
        return Word(start, end, self._text[start:end], "assignees") if name[:1].isalnum() else None

    def _priority(self, start: int, end: int) -> Word | None:
        name = self._text[start + 1 : end].rstrip(_PUNCTUATION).lower()
        known = PRIORITIES.get(name)
        if known is None and not name.isalpha():
            return None
        return Word(start, end, self._text[start:end], "priority", known)
