"""Parser of the search language: results, refusals and their positions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.search.conditions import KEYS, Condition, SearchError
from app.search.parser import MAX_CHARACTERS, MAX_PARTS, Search, Term, parse

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "search.md"

KEYWORDS = st.sampled_from(["is:", "due:", "p:", "has:", "list:", "by:", "foo:"])
VALUES = st.sampled_from(
    ["open", "notes", "high", "<=", "2026-12-01", "today", "me", "OR", "mil", "é", "a b"]
)
SIGNS = st.sampled_from(
    ["@", "#", "-", '"', "\\", "*", "(", ":", "//", " ", "\t", "\U0001f389", "\x00", "\ud800"]
)
PIECES = KEYWORDS | VALUES | SIGNS
TYPED = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40)


def condition(field: Any, value: str, operator: Any = "=", *, negated: bool = False) -> Search:
    """Return a search for one condition."""
    return Search((Condition(field, value, operator, negated),))


def term(text: str, kind: Any = "word", *, negated: bool = False) -> Search:
    """Return a search for one term."""
    return Search((), (Term(text, kind, negated),))


def refused(text: str) -> SearchError:
    """Return the error that refuses a text."""
    with pytest.raises(SearchError) as error:
        parse(text, me="alice")
    return error.value


# --- conditions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("is:open", condition("status", "open")),
        ("is:done", condition("status", "done")),
        ("status:open", condition("status", "open")),
        ("is:overdue", condition("due", "overdue")),
        ("is:recurring", condition("has", "recurrence")),
        ("is:subtask", condition("has", "parent")),
        ("is:assigned", condition("has", "assignees")),
        ("is:unassigned", condition("has", "assignees", negated=True)),
        ("stage:Doing", condition("stage", "Doing")),
        ('stage:"In review"', condition("stage", "In review")),
        ("#home", condition("tag", "home")),
        ('#"two words"', condition("tag", "two words")),
        ("tag:home", condition("tag", "home")),
        ("@alice", condition("assignee", "alice")),
        ("@me", condition("assignee", "cat@example.com")),
        ('@"me"', condition("assignee", "me")),
        ("@bob@example.com", condition("assignee", "bob@example.com")),
        ("assignee:me", condition("assignee", "cat@example.com")),
        ("by:alice", condition("creator", "alice")),
        ("by:me", condition("creator", "cat@example.com")),
        ("#me", condition("tag", "me")),
        ("p:high", condition("priority", "high")),
        ("priority:none", condition("priority", "none")),
        ("p:>=high", condition("priority", "high", ">=")),
        ("p:<urgent", condition("priority", "urgent", "<")),
        ("due:2026-12-01", condition("due", "2026-12-01")),
        ("due:=2026-12-01", condition("due", "2026-12-01")),
        ("due:<2026-12-01", condition("due", "2026-12-01", "<")),
        ("due:<=2026-12-01", condition("due", "2026-12-01", "<=")),
        ("due:>2026-12-01T09:00:00+01:00", condition("due", "2026-12-01T09:00:00+01:00", ">")),
        ('due:>="2026-12-01 09:00Z"', condition("due", "2026-12-01 09:00Z", ">=")),
        ("due:today", condition("due", "today")),
        ("due:<=tomorrow", condition("due", "tomorrow", "<=")),
        ("due:>Friday", condition("due", "friday", ">")),
        ('due:"next  monday"', condition("due", "next monday")),
        ('due:<="dec 24"', condition("due", "dec 24", "<=")),
        ("due:week", condition("due", "week")),
        ("due:overdue", condition("due", "overdue")),
        ("due:none", condition("has", "due", negated=True)),
        ("-due:none", condition("has", "due")),
        ('list:"Errands"', condition("list", "Errands")),
        (
            "list:10000000-0000-4000-8000-000000000001",
            condition("list", "10000000-0000-4000-8000-000000000001"),
        ),
        ("has:reminders", condition("has", "reminders")),
        ("has:reminder", condition("has", "reminders")),
        ("has:comment", condition("has", "comments")),
        ("has:notes", condition("has", "notes")),
        ("IS:Open", condition("status", "open")),
        ("P:HIGH", condition("priority", "high")),
        ("Due:Today", condition("due", "today")),
        ("-#home", condition("tag", "home", negated=True)),
        ("-@bob", condition("assignee", "bob", negated=True)),
        ("-is:done", condition("status", "done", negated=True)),
        ("-is:unassigned", condition("has", "assignees")),
        (r"#two\ words", condition("tag", "two words")),
        (r'#"say \"hi\" \\"', condition("tag", 'say "hi" \\')),
        ('#12"', condition("tag", '12"')),
        ('#" home "', condition("tag", "home")),
        ("#mil*", condition("tag", "mil*")),
    ],
)
def test_conditions_are_parsed(text: str, search: Search) -> None:
    """Keys and fixed words in any case; names unchanged."""
    assert parse(text, me="cat@example.com") == search


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("milk", term("milk")),
        ("mil*", term("mil", "prefix")),
        ('"exact words"', term("exact words", "phrase")),
        ('" word "', term("word", "phrase")),
        ("-milk", term("milk", negated=True)),
        ("-mil*", term("mil", "prefix", negated=True)),
        ('-"exact words"', term("exact words", "phrase", negated=True)),
        (r'"say \"hi\""', term('say "hi"', "phrase")),
        (r"\#home", term("#home")),
        (r"\-5", term("-5")),
        (r"is\:open", term("is:open")),
        (r"\OR", term("OR")),
        ("or", term("or")),
        ('"OR"', term("OR", "phrase")),
        (r"mil\*", term("mil*")),
        (r"mil\\*", term("mil\\", "prefix")),
        ('12"', term('12"')),
        ("C#", term("C#")),
        ("foo-bar", term("foo-bar")),
        ("12:30", term("12:30")),
        ("https://example.com/a?b=c", term("https://example.com/a?b=c")),
        ("f(x)", term("f(x)")),
        ("ünïcode", term("ünïcode")),
        ("牛乳", term("牛乳")),
        ("\U0001f389", term("\U0001f389")),
    ],
)
def test_terms_are_parsed(text: str, search: Search) -> None:
    """Words, prefixes and phrases; a backslash escapes any character."""
    assert parse(text, me="alice") == search


def test_parts_are_separated_by_white_space() -> None:
    """Of any kind; they keep their order."""
    text = ' is:open  due:<2026-12-01\t@alice #home\np:high "exact words" -milk '
    assert parse(text, me="alice") == Search(
        (
            Condition("status", "open"),
            Condition("due", "2026-12-01", "<"),
            Condition("assignee", "alice"),
            Condition("tag", "home"),
            Condition("priority", "high"),
        ),
        (Term("exact words", "phrase"), Term("milk", negated=True)),
    )
    assert parse(" ", me="alice") == Search()


# --- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "part", "message"),
    [
        (
            "milk foo:bar",
            "foo:",
            "unknown key foo: (known: is:, status:, stage:, tag:, assignee:, by:, list:",
        ),
        ("Re:", "Re:", "put text with a colon in quotes"),
        ("is:opne", "opne", "is: takes open, done, overdue, recurring, subtask, assigned, unassigned"),
        ("status:closed", "closed", "status: takes open, done"),
        ("has:money", "money", "has: takes notes, due, tags"),
        ("p:>=important", "important", "priority: takes none, low, medium, high, urgent"),
        ("due:soon", "soon", "due: takes a day (2026-12-01, tomorrow, friday), a date-time with an offset"),
        ("due:2026-02-30", "2026-02-30", "due: takes a day"),
        ("due:2026-W01-1", "2026-W01-1", "due: takes a day"),
        ("due:2026-12-01T09:00", "2026-12-01T09:00", "a date-time with an offset"),
        ("due:0001-01-01T00:00+23:00", "0001-01-01T00:00+23:00", "due: takes a day"),
        ("due:<week", "week", "< takes a day"),
        ("due:>=none", "none", ">= takes a day"),
        ("milk is: x", "is:", "is: needs a value directly after it"),
        ("due:<", "due:<", "due: needs a value directly after it"),
        ("milk @", "@", "@ needs a value"),
        ('#""', '#""', "# needs a value"),
        ('list:" "', 'list:" "', "list: needs a value"),
        ("milk - eggs", "-", "put a minus directly before"),
        ("milk -", "-", "put a minus directly before"),
        ("--milk", "-", "put a minus directly before"),
        ('milk "eggs and', '"eggs and', "not closed"),
        ('#"two words', '"two words', "not closed"),
        ('"eggs"and', "a", "a space is missing"),
        ('"egg"*', "*", "a space is missing"),
        ("milk\\", "\\", "a backslash"),
        ("m*lk", "*", "at the end of a word"),
        ("milk**", "*", "at the end of a word"),
        ("*", "*", "no letter or digit"),
        ("&", "&", "no letter or digit"),
        ("is:open \u20ac", "\u20ac", "no letter or digit"),
        ('-"\u2026" !', '"\u2026"', "no letter or digit"),
        ('""', '""', "no letter or digit"),
        ("milk OR eggs", "OR", "there is no OR"),
        ("milk AND eggs", "AND", "AND is not needed"),
        ("NOT milk", "NOT", "put a minus"),
        ("(milk)", "(", "brackets have no meaning"),
        ("-(milk eggs)", "(", "brackets have no meaning"),
        ("milk\x00", "\x00", "this character"),
        ("milk \udfff", "\udfff", "this character"),
    ],
)
def test_error_has_the_position_of_its_cause(text: str, part: str, message: str) -> None:
    """And lists the alternatives."""
    error = refused(text)
    assert text[error.at : error.at + error.length] == part
    assert message in error.message
    assert str(error) == error.message


@pytest.mark.parametrize("sign", ["&", "-", '"?!"', "\u2013", "-\u2026", "\u20ac", "/", "+*"])
def test_parts_without_words_are_ignored_next_to_words(sign: str) -> None:
    """As within words: titles can be pasted."""
    escaped = f"\\{sign}" if sign == "-" else sign
    assert parse(f"salt {escaped} pepper", me="alice") == parse("salt pepper", me="alice")
    assert parse(f"{escaped} #home salt", me="alice") == parse("#home salt", me="alice")


def test_error_position_is_exact_for_repeated_parts() -> None:
    """Positions are in the original text."""
    assert (refused(" is:open\tis:opne").at, refused("is:open is:is:").at) == (12, 11)


def test_searches_are_bounded() -> None:
    """In characters and parts; errors have the position of the excess."""
    assert len(parse("a" * MAX_CHARACTERS, me="alice").terms) == 1
    assert len(parse("a " * MAX_PARTS, me="alice").terms) == MAX_PARTS
    error = refused("a" * (MAX_CHARACTERS + 3))
    assert (error.at, error.length) == (MAX_CHARACTERS, 3)
    error = refused("a " * MAX_PARTS + "b c")
    assert (error.at, error.length) == (2 * MAX_PARTS, 3)


# --- laws ------------------------------------------------------------------------------------------------


@given(TYPED)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    wrong = None
    try:
        parse(text, me="alice")
    except SearchError as error:
        wrong = error
    assert wrong is None or (wrong.length >= 1 and 0 <= wrong.at <= len(text) - wrong.length)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=50))
def test_any_name_can_be_searched(name: str) -> None:
    """In quotes, with backslashes before special characters."""
    assume(name.strip())
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert parse(f"#{quoted}", me="alice") == condition("tag", name.strip())


# --- the reference ---------------------------------------------------------------------------------------


def test_examples_of_the_reference_are_parsed() -> None:
    blocks = re.findall(r"^```\n(.*?)^```", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    examples = [line for block in blocks for line in block.splitlines()]
    assert len(examples) >= 5
    for line in examples:
        assert parse(line, me="alice") != Search()


def test_every_key_is_in_the_reference() -> None:
    """With valid example values."""
    rows = [row.split("|")[1] for row in REFERENCE.read_text().splitlines() if row.startswith("| `")]
    typed = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    for text in typed:
        parse(text, me="alice")
    assert {f"{key}:" for key in KEYS} <= {text.partition(":")[0] + ":" for text in typed}
