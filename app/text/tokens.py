"""The words of a text for searching, independent of the database's locale and text search.

A run of letters and digits is a word, with its marks and joiners. In scripts without spaces between words,
such as Chinese, Japanese, Thai and Khmer, each grapheme cluster is a word, so that any consecutive characters
can be found. Each emoji is a word too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from unicodedata import category, normalize

import regex

from app.text.folding import folded
from app.text.graphemes import clusters

LONGEST_FORM = 64
"""Code points; longer words are cut, both in texts and in searches."""

_ASCII_WORD = re.compile("[a-z0-9]+")
_LETTER, _UNSPACED, _PICTURE, _ATTACHED, _PREPENDED, _OTHER = "l", "u", "p", "a", "m", " "
"""The kinds of characters. A text's kinds are as many as its code points, which makes them fast to search."""
_WORD = re.compile("m*(?:(?P<picture>p[pa]*)|(?P<unspaced>u[ua]*)|l[la]*)")
_IN_UNSPACED = (
    r"[\p{scx=Hani}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{Yi}\p{Nushu}\p{Tangut}\p{Khitan_Small_Script}"
    r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Ahom}"
    r"\p{Javanese}\p{Balinese}]"
)
_PATTERNS = {
    _PREPENDED: r"\p{GCB=Prepend}",
    _ATTACHED: r"[\p{GCB=Extend}\p{GCB=SpacingMark}\p{WB=Format}\p{WB=ZWJ}]",
    _UNSPACED: rf"[{_IN_UNSPACED}&&[\p{{L}}\p{{N}}\p{{M}}]--\p{{Nd}}]|[\u3200-\u33ff]",
    _PICTURE: r"[\p{Extended_Pictographic}\p{Regional_Indicator}]",
    _LETTER: r"[\p{L}\p{N}]",
}
"""The first matching pattern determines the kind; numbers are runs in every script."""
_KIND_OF = tuple((kind, regex.compile(pattern, regex.V1)) for kind, pattern in _PATTERNS.items())
_IS_PICTURE = regex.compile(
    r"[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff\p{Regional_Indicator}\p{Emoji_Presentation}]|.*\ufe0f"
)
_UNSEEN_IN_PICTURES = regex.compile(r"[\u200d\ufe0e\ufe0f\p{Emoji_Modifier}]")
_NEITHER_LETTER_NOR_MARK = regex.compile(r"[^\p{L}\p{N}\p{M}]+")
_MARKS = regex.compile(r"\p{M}*")
_FORMS_KEPT = 16_384


class _Kinds(dict[int, str]):
    """The kind of each code point, computed on first use."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kinds = (kind for kind, pattern in _KIND_OF if pattern.match(character))
        self[code] = kind = next(kinds, _ATTACHED if category(character).startswith("M") else _OTHER)
        return kind


_KINDS = _Kinds()


class Word(NamedTuple):
    """A word of a text: its place, and the form that it is compared in."""

    start: int
    end: int
    form: str


@dataclass(frozen=True, slots=True)
class Needle:
    """Consecutive words that a text must contain or, `negated`, must not; a `prefix` may go on."""

    forms: tuple[str, ...]
    prefix: bool = False
    negated: bool = False

    def found_at(self, forms: Sequence[str]) -> Iterator[int]:
        """Yield the indexes among a text's forms at which these words begin."""
        *firsts, last = self.forms
        for at in range(len(forms) - len(firsts)):
            end = at + len(firsts)
            fits = forms[end].startswith(last) if self.prefix else forms[end] == last
            if fits and forms[at:end] == firsts:
                yield at


def words_of(text: str) -> Iterator[Word]:
    """Yield the words of a text in order.

    Each begins and ends at a boundary of grapheme clusters. If a cluster is several words, such as the unit
    ㌔ that is short for キロ, each of them has the place of the cluster.
    """
    if text.isascii():
        for match in _ASCII_WORD.finditer(text.lower()):
            yield Word(match.start(), match.end(), match[0][:LONGEST_FORM])
        return
    for match in _WORD.finditer(text.translate(_KINDS)):
        start, end = match.span()
        if match.lastgroup is None:
            yield from _words_at(start, text[start:end], _form(text[start:end]))
            continue
        forms = _forms_unspaced if match.lastgroup == "unspaced" else _forms_of_picture
        for cluster in clusters(text[start:end]):
            yield from _words_at(start, cluster, *forms(cluster))
            start += len(cluster)


def forms_of(text: str) -> list[str]:
    """Return the forms of a text's words, in order: letters and digits, or one emoji, each."""
    if text.isascii():
        return [form[:LONGEST_FORM] for form in _ASCII_WORD.findall(text.lower())]
    return [word.form for word in words_of(text)]


def stands_alone(form: str) -> bool:
    """Return whether a form is of a script without spaces, in which it is only a part of a word."""
    return not form.isascii() and _KINDS[ord(form[0])] == _UNSPACED


def _words_at(start: int, written: str, *forms: str) -> Iterator[Word]:
    return (Word(start, start + len(written), form) for form in forms if form)


@lru_cache(maxsize=_FORMS_KEPT)
def _form(word: str) -> str:
    if word.isascii():
        return word.lower()[:LONGEST_FORM]
    form = _NEITHER_LETTER_NOR_MARK.sub("", folded(word))
    return "" if _MARKS.fullmatch(form) else form[:LONGEST_FORM]


@lru_cache(maxsize=_FORMS_KEPT)
def _forms_unspaced(cluster: str) -> tuple[str, ...]:
    if _UNSPACED not in cluster.translate(_KINDS):
        return ()  # a mark that a control character separates from its letter
    normal = normalize("NFKC", cluster)
    if normal == cluster:
        return (folded(cluster)[:LONGEST_FORM],)
    return tuple(forms_of(normal))


def _forms_of_picture(cluster: str) -> tuple[str, ...]:
    if _PICTURE not in cluster.translate(_KINDS) or not _IS_PICTURE.match(cluster):
        return ()
    return ((_UNSEEN_IN_PICTURES.sub("", cluster) or cluster)[:LONGEST_FORM],)
