"""The words of a text, as searching sees them: without case and accents, whatever the database's locale.

A run of letters and digits is a word; every ideograph, kana and emoji is one by itself, as those stand
without spaces between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from unicodedata import normalize

LONGEST_FORM = 64
"""Characters; what is longer is cut, in what is searched as in what is searched for."""

_ASCII_WORD = re.compile("[a-z0-9]+")
_MARKS = "\u0300-\u036f"
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_EMOJI = "\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_SINGLE = _IDEOGRAPHS + _EMOJI
_WORD = re.compile(rf"[{_SINGLE}]|(?:(?![{_SINGLE}])[^\W_]|[{_MARKS}])+")
_MARK = re.compile(f"[{_MARKS}]")


class Word(NamedTuple):
    """A word of a text: where it stands, and the form that it is compared in."""

    start: int
    end: int
    form: str


@dataclass(frozen=True, slots=True)
class Needle:
    """Words in a row that a text must contain or, `negated`, must not; a `prefix` may go on at its end."""

    forms: tuple[str, ...]
    prefix: bool = False
    negated: bool = False

    def found_at(self, forms: Sequence[str]) -> Iterator[int]:
        """The places among a text's forms where these words begin."""
        *firsts, last = self.forms
        for at in range(len(forms) - len(firsts)):
            end = at + len(firsts)
            fits = forms[end].startswith(last) if self.prefix else forms[end] == last
            if fits and forms[at:end] == firsts:
                yield at


def words_of(text: str) -> Iterator[Word]:
    """The words of a text, in order."""
    if text.isascii():
        for match in _ASCII_WORD.finditer(text.lower()):
            yield Word(match.start(), match.end(), match[0][:LONGEST_FORM])
        return
    for match in _WORD.finditer(text):
        if form := _form(match[0]):
            yield Word(match.start(), match.end(), form)


def forms_of(text: str) -> list[str]:
    """The forms of a text's words, in order: letters and digits, or one emoji, each."""
    if text.isascii():
        return [form[:LONGEST_FORM] for form in _ASCII_WORD.findall(text.lower())]
    return [word.form for word in words_of(text)]


def folded(text: str) -> str:
    """A text without case and accents, for comparing as people sort."""
    return text.lower() if text.isascii() else _MARK.sub("", normalize("NFKD", text.casefold())).casefold()


def _form(word: str) -> str:
    if len(word) == 1 and not word.isalnum():
        return "" if _MARK.match(word) else word
    return "".join(filter(str.isalnum, folded(word)))[:LONGEST_FORM]
