"""Collation: the order of texts by the Unicode Collation Algorithm (UTS 10), in any database.

Keys are texts that compare as the original texts do, code point by code point: in Postgres by the collation
"C". An index, a cursor and Python therefore agree, in every database. Letters decide first, then accents,
then case. The weights are those of the Default Unicode Collation Element Table.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from unicodedata import normalize

from pyuca.collator import Collator_10_0_0
from pyuca.trie import Node

_END_OF_LEVEL = "!"
_LEAST = (_END_OF_LEVEL, "\u0040", "\u0022")
"""The least weight of each level, omitted at the level's end. That of the first does not occur."""

Weights = tuple[str, str, str]


def collation_key(text: str) -> str:
    """Return the sort key of a text."""
    if text.isascii():
        levels = [text.translate(level) for level in _ascii()]
    else:
        table = _table()
        weights = [table[token] for token in table.tokens.findall(normalize("NFC", text))]
        levels = ["".join(level) for level in zip(*weights, strict=True)]
    trimmed = (level.rstrip(least) for level, least in zip(levels, _LEAST, strict=True))
    return _END_OF_LEVEL.join(trimmed).rstrip(_END_OF_LEVEL)


class _Table(dict[str, Weights]):
    """The weights of single characters and of contractions, each computed on first use."""

    def __init__(self) -> None:
        super().__init__()
        self._collator = Collator_10_0_0()
        contractions = {normalize("NFC", each) for each in _strings(self._collator.table.root)}
        pairs = _pattern({each for each in contractions if len(each) == 2})
        longer = sorted((each for each in contractions if len(each) > 2), key=len, reverse=True)
        self.tokens = re.compile("|".join([*map(re.escape, longer), *pairs, "."]), re.DOTALL)

    def __missing__(self, token: str) -> Weights:
        elements = self._collator.collation_elements(normalize("NFD", token))
        weights = _level(elements, 0), _level(elements, 1), _level(elements, 2)
        self[token] = weights
        return weights


@cache
def _table() -> _Table:
    return _Table()


@cache
def _ascii() -> tuple[dict[int, str], ...]:
    """Return the weights of ASCII, which has no contractions, by level."""
    weights = [_table()[chr(code)] for code in range(128)]
    return tuple({code: each[level] for code, each in enumerate(weights)} for level in range(3))


def _pattern(pairs: Iterable[str]) -> list[str]:
    """Return a few fast patterns for pairs of consecutive characters."""
    following: defaultdict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        following[pair[0]].add(pair[1])
    alike: defaultdict[frozenset[str], list[str]] = defaultdict(list)
    for first, seconds in following.items():
        alike[frozenset(seconds)].append(first)
    return [f"{_any_of(firsts)}{_any_of(seconds)}" for seconds, firsts in alike.items()]


def _any_of(characters: Iterable[str]) -> str:
    return f"[{''.join(map(re.escape, sorted(characters)))}]"


def _level(elements: Iterable[Iterable[int]], level: int) -> str:
    return "".join(_sign(weights[level]) for weights in map(list, elements) if weights[level])


def _sign(weight: int) -> str:
    """Return a weight as a character: above the end-of-level mark and the surrogates."""
    code = weight + 0x20
    return chr(code if code < 0xD800 else code + 0x800)


def _strings(node: Node, prefix: str = "") -> Iterator[str]:
    for code, child in (node.children or {}).items():
        yield prefix + chr(code)
        yield from _strings(child, prefix + chr(code))
