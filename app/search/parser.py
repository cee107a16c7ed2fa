"""The language of the search box: `is:open due:<2026-12-01 @alice #home p:high "exact words"`.

`parse` turns a text into conditions and terms. It knows no clock and no database. The caller resolves dates
such as `today`, and lets full-text search split the terms. docs/reference/search.md describes the language
for users.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NoReturn, cast

from app.search.conditions import COMPARABLE, KEYS, PEOPLE, Condition, Operator, SearchError, Value
from app.text.tokens import forms_of

MAX_CHARACTERS = 500
MAX_PARTS = 30
"""The number of conditions and terms together."""

TermKind = Literal["word", "prefix", "phrase"]


@dataclass(frozen=True, slots=True)
class Term:
    """Text that a task must contain or, negated, must not: a word, a prefix, or consecutive words.

    `text` is as typed. Full-text search finds at least one word in it, and may find several, as in `foo-bar`.
    """

    text: str
    kind: TermKind = "word"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed search; a task must meet all of it."""

    conditions: tuple[Condition, ...] = ()
    terms: tuple[Term, ...] = ()


def parse(text: str, *, me: str) -> Search:
    """Parse `text`; `@me` stands for the user id `me`. Raise `SearchError`."""
    if len(text) > MAX_CHARACTERS:
        raise SearchError(
            f"a search has at most {MAX_CHARACTERS} characters", MAX_CHARACTERS, len(text) - MAX_CHARACTERS
        )
    if unstorable := _UNSTORABLE.search(text):
        raise SearchError("no text contains this character", unstorable.start(), 1)
    return _Reader(text, me).search()


# --- reading ---------------------------------------------------------------------------------------------

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SPACE = re.compile(r"\s*")
_MINUS = re.compile("-")
_SIGN = re.compile("[@#]")
_KEY = re.compile(r"([A-Za-z_]+):(?!//)")
_OPERATOR = re.compile(r"<=|>=|<|>|=|")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
_BARE = re.compile(r"(?:\\.|[^\s\\])*", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPE_OR_STAR = re.compile(r"\\.|\*", re.DOTALL)
_SIGNS = {"@": "assignee", "#": "tag"}
_LOGIC = {
    "OR": "there is no OR: all parts of a search hold together",
    "AND": "AND is not needed: all parts of a search hold together",
    "NOT": "there is no NOT: put a minus before what must not hold, as in -word",
}


class _Reader:
    """Parser of one text, from its beginning to its end."""

    def __init__(self, text: str, me: str) -> None:
        self._text = text
        self._me = me
        self._at = 0
        self._wordless: Value | None = None
        """The first term without a word, such as the `&` of `salt & pepper`."""

    def search(self) -> Search:
        """Parse the whole text. Ignore a part without words if another part has some. Raise `SearchError`."""
        conditions: list[Condition] = []
        terms: list[Term] = []
        for part in self._parts():
            if isinstance(part, Condition):
                conditions.append(part)
            elif forms_of(part.text):
                terms.append(part)
        if self._wordless is not None and not terms:
            self._wordless.wrong("there is no letter or digit to search for")
        return Search(tuple(conditions), tuple(terms))

    def _parts(self) -> Iterator[Condition | Term]:
        self._skip(_SPACE)
        for _ in range(MAX_PARTS):
            if self._at == len(self._text):
                return
            yield self._part()
            self._skip(_SPACE)
        if self._at < len(self._text):
            self._wrong(f"a search has at most {MAX_PARTS} parts", self._at, len(self._text))

    def _part(self) -> Condition | Term:
        start = self._at
        negated = bool(self._skip(_MINUS))
        following = self._text[self._at : self._at + 1]
        if negated and (following in {"", "-"} or following.isspace()):
            self._wrong("put a minus directly before what to exclude, as in -word", start, self._at)
        if following == "(":
            self._wrong("brackets have no meaning; put text with them in quotes", self._at, self._at + 1)
        part = self._condition() or self._term()
        if isinstance(part, Condition):
            part = replace(part, place=(start, self._at - start))
        return replace(part, negated=part.negated != negated)

    def _condition(self) -> Condition | None:
        start = self._at
        sign = self._skip(_SIGN) or self._skip(_KEY)
        if not sign:
            return None
        key = _SIGNS.get(sign) or sign[:-1].lower()
        if key not in KEYS:
            known = ", ".join(f"{key}:" for key in KEYS)
            message = f"unknown key {sign} (known: {known}); put text with a colon in quotes"
            self._wrong(message, start, self._at)
        operator = self._skip(_OPERATOR) if key in COMPARABLE else ""
        value = self._value()
        if not value.text.strip():
            self._wrong(f"{sign} needs a value directly after it", start, self._at)
        if key in PEOPLE and value.written == "me":
            value = replace(value, text=self._me)
        return KEYS[key](value, cast("Operator", operator or "="))

    def _term(self) -> Term:
        value = self._value()
        if value.quoted:
            term = Term(value.text.strip(), "phrase")
        else:
            stars = [match.start() for match in _ESCAPE_OR_STAR.finditer(value.written) if match[0] == "*"]
            last = len(value.written) - 1
            if stars and stars != [last]:
                at = value.at + stars[0]
                self._wrong("put a * only at the end of a word, to find its prefix", at, at + 1)
            term = Term(value.text[:-1], "prefix") if stars else Term(value.text)
        if value.written in _LOGIC:
            value.wrong(_LOGIC[value.written])
        if not term.text:
            value.wrong("there is no letter or digit to search for")
        if self._wordless is None and not forms_of(term.text):
            self._wordless = value
        return term

    def _value(self) -> Value:
        start = self._at
        if self._text.startswith('"', start):
            quotation = self._skip(_QUOTED)
            if not quotation:
                self._wrong("this quote is not closed", start, len(self._text))
            if self._at < len(self._text) and not self._text[self._at].isspace():
                self._wrong("a space is missing after the closing quote", self._at, self._at + 1)
            return Value(quotation, start, _ESCAPE.sub(r"\1", quotation[1:-1]), quoted=True)
        word = self._skip(_BARE)
        if self._text.startswith("\\", self._at):
            self._wrong("put a backslash before the character that it escapes", self._at, self._at + 1)
        return Value(word, start, _ESCAPE.sub(r"\1", word), quoted=False)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return match[0] if match else ""

    def _wrong(self, message: str, start: int, end: int) -> NoReturn:
        raise SearchError(message, start, end - start)
