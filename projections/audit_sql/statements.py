"""The check of a statement before PostgreSQL sees it: one query, with functions that only compute.

It is a second guard, and reads tokens only: PostgreSQL reads the grammar, and the rights of the role hold
alone. It refuses what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from app.errors import FieldError, Invalid
from projections.audit_sql.functions import ALLOWED

FIELD = "sql"
MAX_CHARS = 20_000
BEGINNINGS = ("select", "with", "values", "table")
_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\n\r\f\v]+|--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<dollar>\$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?)\$)
    | (?P<unicode>[Uu]&["'])
    | (?P<escaped>[Ee]'(?:[^'\\]|''|\\.)*')
    | (?P<string>(?:[BbXxNn])?'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
    | (?P<parameter>\$\d+)
    | (?P<number>\.?\d[\w.]*)
    | (?P<cast>::)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_ENDS = re.compile(r"/\*|\*/")
_WORDS = """
    all and any array as between by case cast coalesce cross cube distinct else except exists extract filter
    from full greatest group grouping having ilike in inner intersect interval is join json_array
    json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table
    json_value lateral least like limit materialized not nullif offset on only or order over overlay
    position recursive rollup row select sets similar some substring symmetric then to trim union using
    values when where with within zone bit char character decimal dec float numeric time timestamp varchar
    varying precision
"""
_NO_CALLS = frozenset(_WORDS.split())
"""The words of the grammar that may precede a parenthesis, and the types that may have one."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a quoted name or a mark of a statement, and the place where it begins."""

    kind: str
    text: str
    at: int

    @property
    def name(self) -> str:
        """The name that PostgreSQL reads: quoted ones as they are, others in lower case."""
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text.lower()


def check_statement(sql: str) -> None:
    """Check that it is one query, and calls only functions that compute. Raise `Invalid` with the place."""
    tokens = list(_tokens(sql))
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    first = next((token for token in tokens if token.text != "("), None)
    if first is None:
        raise _refused("is empty; write a query such as `select count(*) from events`", None)
    if first.kind != "word" or first.name not in BEGINNINGS:
        raise _refused("only queries are allowed: SELECT, WITH, VALUES or TABLE", first)
    heads = set(_with_heads(tokens))
    for place, token in enumerate(tokens):
        _check_token(token)
        if place not in heads and _is_call(tokens, place) and token.name not in ALLOWED:
            raise _refused(
                f"{token.text}() is not a function that may be used{nearest(token.name, ALLOWED)}", token
            )


def without_end(sql: str) -> str:
    """Return a checked statement without semicolons at its end."""
    last = [token for token in _tokens(sql) if token.text != ";"][-1]
    return sql[: last.at + len(last.text)]


def _tokens(sql: str) -> Iterator[Token]:
    """Yield the tokens except white space and comments. Raise `Invalid` for a comment that never ends."""
    at = 0
    while at < len(sql):
        found = _TOKEN.match(sql, at)
        assert found is not None
        kind, end = str(found.lastgroup), found.end()
        if kind == "comment":
            end = _after_comment(sql, at)
        elif kind == "dollar":
            closing = sql.find(found[0], end)
            kind, end = "string", len(sql) if closing < 0 else closing + len(found[0])
        if kind not in ("space", "comment"):
            yield Token(kind, sql[at:end], at)
        at = end


def _after_comment(sql: str, at: int) -> int:
    """Return the end of a comment, which may contain others."""
    depth = 0
    for found in _COMMENT_ENDS.finditer(sql, at):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    raise _refused("has a comment without an end", Token("comment", "/*", at))


def _check_token(token: Token) -> None:
    if token.text == ";":
        raise _refused("only one statement is allowed", token)
    if token.kind == "parameter":
        raise _refused("parameters are not supported; write the value", token)
    if token.kind == "unicode":
        raise _refused("names and texts with U& are not supported", token)
    if token.kind == "word" and token.name == "into":
        raise _refused("INTO would write a table", token)
    if token.kind in ("word", "quoted") and (
        token.name.startswith("pg_") or token.name == "information_schema"
    ):
        raise _refused("PostgreSQL's own functions and catalogs may not be used", token)


def _is_call(tokens: Sequence[Token], place: int) -> bool:
    """Return whether a token is the name of a function that is called, or may be one."""
    token = tokens[place]
    if place + 1 == len(tokens) or tokens[place + 1].text != "(" or token.kind not in ("word", "quoted"):
        return False
    if token.kind == "word" and token.name in _NO_CALLS:
        return False
    before = tokens[place - 1] if place else None
    # An alias with columns, or a type.
    return before is None or not (before.kind == "cast" or (before.kind == "word" and before.name == "as"))


def _with_heads(tokens: Sequence[Token]) -> Iterator[int]:
    """Yield the places of the names of common table expressions that have a list of columns."""
    for start, token in enumerate(tokens):
        if token.kind != "word" or token.name != "with":
            continue
        place = start + 1
        if _word_at(tokens, place) == "recursive":
            place += 1
        while True:
            head, place = place, place + 1
            has_columns = _text_at(tokens, place) == "("
            if has_columns:
                place = _after_parentheses(tokens, place)
            if _word_at(tokens, place) != "as":
                break
            place += 1
            while _word_at(tokens, place) in ("not", "materialized"):
                place += 1
            if _text_at(tokens, place) != "(":
                break
            if has_columns:
                yield head
            place = _after_parentheses(tokens, place)
            if _text_at(tokens, place) != ",":
                break
            place += 1


def _after_parentheses(tokens: Sequence[Token], place: int) -> int:
    depth = 0
    for at in range(place, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[at].text, 0)
        if depth == 0:
            return at + 1
    return len(tokens)


def _word_at(tokens: Sequence[Token], place: int) -> str | None:
    return tokens[place].name if place < len(tokens) and tokens[place].kind == "word" else None


def _text_at(tokens: Sequence[Token], place: int) -> str | None:
    return tokens[place].text if place < len(tokens) else None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a question that names the known word nearest to an unknown one; empty if none is near."""
    close = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _refused(message: str, token: Token | None) -> Invalid:
    if token is None:
        return Invalid([FieldError(FIELD, message)])
    return Invalid([FieldError(FIELD, message, at=token.at, length=len(token.text))])
