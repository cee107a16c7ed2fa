"""Folding: the form in which words are compared, by script.

Case, width and other compatibility differences never count. Marks count where they make another letter: an
Indic vowel sign, a Japanese voicing mark, a Thai tone, the breve of Cyrillic й. They do not count where
writers often omit them: accents of Latin and Greek, Hebrew points, Arabic vowels and hamzas, the dots of ё
and stresses. Joiners, soft hyphens, variation selectors and the like never count. Digits of any script equal
0 to 9.
"""

# ruff: noqa: RUF001  # similar letters are the subject of this module

from __future__ import annotations

from functools import lru_cache
from unicodedata import decimal, normalize

import regex

_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\u0640]+")
"""Invisible characters, and Arabic's tatweel, which only lengthens a word."""
_OPTIONAL_MARKS = regex.compile(
    r"(?<=[\p{Latin}\p{Greek}\p{Coptic}\p{Hebrew}\p{Arabic}\p{Syriac}\p{Samaritan}\p{Nd}])[\p{Mn}\p{Me}]+"
)
_CYRILLIC_MARKS = regex.compile(r"(?<=\p{Cyrillic})[\u0300-\u036f\u0483-\u0489]+")
_NIKHAHIT_FIRST = regex.compile(r"([\u0e4d\u0ecd])([\u0e48-\u0e4b\u0ec8-\u0ecb])")
_DIGIT = regex.compile(r"[\p{Nd}--0-9]", regex.V1)
_ALIKE = {
    # Latin letters with a stroke and ligatures, which Unicode does not decompose.
    "o": "ø",
    "l": "ł",
    "d": "đð",
    "h": "ħ",
    "t": "ŧ",
    "i": "ı",
    "ae": "æ",
    "oe": "œ",
    # Cyrillic letters whose dots and stresses are optional.
    "е": "ёѐ",
    "и": "ѝ",
    # Arabic: one letter for those that keyboards of Arabic, Persian and Urdu write differently.
    "ا": "ٱ",
    "ه": "ةہھەۃ",
    "ي": "ىیې",
    "ك": "ک",
}
_LETTERS = {ord(letter): form for form, letters in _ALIKE.items() for letter in letters}
_ROUNDS = 4
"""The number of rounds: one folds what an earlier one reveals, such as a capital in a decomposition."""


def folded(text: str) -> str:
    """Return the folded form of a text; folding it again changes nothing."""
    return text.lower() if text.isascii() else _folded(text)


@lru_cache(maxsize=16_384)
def _folded(text: str) -> str:
    for _ in range(_ROUNDS):
        before, text = text, _folded_once(text)
        if text == before:
            break
    return text


def _folded_once(text: str) -> str:
    letters = normalize("NFKD", normalize("NFKC", _INVISIBLE.sub("", text)).casefold())
    letters = normalize("NFC", _OPTIONAL_MARKS.sub("", letters))
    letters = _CYRILLIC_MARKS.sub("", letters).translate(_LETTERS)
    letters = _NIKHAHIT_FIRST.sub(r"\2\1", letters)
    return _DIGIT.sub(lambda digit: str(decimal(digit[0], digit[0])), letters)
