"""Snippets: the matching part of a text as safe HTML."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.search.snippets import SNIPPET_CHARACTERS, FoundIn, best_match
from app.text.graphemes import boundary_before
from app.text.tokens import Needle, forms_of
from tests.scripts import TEXTS

MILK, BREAD = Needle(("milk",)), Needle(("bread",))


def snippet_of(text: str, *needles: Needle) -> str | None:
    match, _ = best_match(needles, [("notes", text)])
    return None if match is None else match.snippet


@pytest.mark.parametrize(
    ("text", "needles", "snippet"),
    [
        ("Buy MILK now", [MILK], "Buy <mark>MILK</mark> now"),
        ("<b>milk</b> & more", [MILK], "&lt;b&gt;<mark>milk</mark>&lt;/b&gt; &amp; more"),
        ("milkshake milk", [Needle(("mil",), prefix=True)], "<mark>milkshake</mark> <mark>milk</mark>"),
        ("Follow-up: milk", [Needle(("follow", "up"))], "<mark>Follow-up</mark>: milk"),
        ("a\n\n  milk\tb", [MILK], "a <mark>milk</mark> b"),
        ("Café", [Needle(("cafe",))], "<mark>Café</mark>"),
        ("हिन्दी", [Needle(tuple(forms_of("हिन्दी")))], "<mark>हिन्दी</mark>"),
        ("ﾊﾞｽで", [Needle(("バ", "ス"))], "<mark>ﾊﾞｽ</mark>で"),
        ("ไปกินน้ำ", [Needle(tuple(forms_of("น้ำ")))], "ไปกิน<mark>น้ำ</mark>"),
        ("a b c", [Needle(("a", "b")), Needle(("b", "c"))], "<mark>a b c</mark>"),
        ("milk milk milk", [Needle(("milk", "milk"))], "<mark>milk milk milk</mark>"),
        ("bread", [MILK], None),
        ("milk", [Needle(("milk",), negated=True)], None),
    ],
)
def test_matches_are_marked(text: str, needles: list[Needle], snippet: str | None) -> None:
    """Everything else is escaped."""
    assert snippet_of(text, *needles) == snippet


def test_long_text_is_cut_around_the_best_match() -> None:
    """At spaces, where most of the words are close to each other."""
    text = f"milk {'before ' * 100}some milk and bread here {'after ' * 100}"
    found = snippet_of(text, MILK, BREAD)
    assert found is not None
    assert found.startswith("…")
    assert found.endswith("after…")
    assert "<mark>milk</mark> and <mark>bread</mark>" in found
    assert len(found) <= SNIPPET_CHARACTERS + 30


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ([("title", "milk"), ("notes", "milk")], "title"),
        ([("title", "milk"), ("notes", "milk and bread")], "notes"),
        ([("title", "milk"), ("comment", "nothing"), ("comment", "bread milk")], "comment"),
    ],
)
def test_text_with_most_words_is_shown(texts: list[tuple[FoundIn, str]], field: str) -> None:
    """The first of those."""
    match, number = best_match([MILK, BREAD], texts)
    assert match is not None
    assert match.field == field
    assert number == (1 if field == "title" else 2)


forms = st.text(min_size=1, max_size=5).map(forms_of).filter(bool).map(tuple)


@given(st.text(max_size=400), st.builds(Needle, forms, st.booleans()))
def test_snippet_is_a_part_of_the_text(text: str, needle: Needle) -> None:
    """Unescaped, without marks and except white space; each mark holds a searched word."""
    found = snippet_of(text, needle)
    if found is None:
        assert not list(needle.found_at(forms_of(text)))
        return
    assert not re.findall("<(?!/?mark>)", found)
    shown = unescape(re.sub("</?mark>", "", found)).removeprefix("…").removesuffix("…")
    assert shown in re.sub(r"\s+", " ", text)
    for marked in re.findall("<mark>(.*?)</mark>", found):
        assert next(needle.found_at(forms_of(unescape(marked)))) == 0


@given(TEXTS.map(lambda text: text * 8), st.builds(Needle, TEXTS.map(forms_of).filter(bool).map(tuple)))
def test_snippets_and_marks_are_whole_clusters(text: str, needle: Needle) -> None:
    """Also the text in between."""
    found = snippet_of(text, needle) or ""
    marked = unescape(
        found.removeprefix("…").removesuffix("…").replace("<mark>", "\ue000").replace("</mark>", "\ue001")
    )
    shown = marked.replace("\ue000", "")
    at = 0
    for character in marked:
        if character == "\ue000":
            assert boundary_before(shown, at) == at
        else:
            at += 1


def test_snippet_of_a_script_without_spaces_ends_between_clusters() -> None:
    """And is not longer than others."""
    text = "น้ำก้อนนั้น" * 40 + "ข้าวผัด" + "น้ำก้อนนั้น" * 40
    found = snippet_of(text, Needle(tuple(forms_of("ข้าวผัด"))))
    assert found is not None
    assert "<mark>ข้าวผัด</mark>" in found
    shown = re.sub("…|</?mark>", "", found)
    at = text.index(shown)
    assert boundary_before(text, at) == at
    assert boundary_before(text, at + len(shown)) == at + len(shown)
    assert len(shown) <= SNIPPET_CHARACTERS
