"""The words of texts: what is the same word, and where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.words import LONGEST_FORM, Needle, folded, forms_of, words_of


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("Milk & Bread, v2.0: don't!", ["milk", "bread", "v2", "0", "don", "t"]),
        ("snake_case alice@example.com", ["snake", "case", "alice", "example", "com"]),
        ("ÄPFEL Café cafe\u0301s straße", ["apfel", "cafe", "cafes", "strasse"]),
        ("牛乳 を", ["牛", "乳", "を"]),
        ("Привет, МИР", ["привет", "мир"]),
        ("😀 party ⭐", ["😀", "party", "⭐"]),
        ("½ ①", ["12", "1"]),
        ("\u0301 -- …", []),
        ("", []),
    ],
)
def test_words(text: str, forms: list[str]) -> None:
    """Without case, accents and punctuation; signs that stand without spaces are words by themselves."""
    assert forms_of(text) == forms


@given(st.text())
def test_words_stand_where_they_say(text: str) -> None:
    """In order, apart, and each with the form that its part of the text has."""
    end = 0
    for word in words_of(text):
        assert end <= word.start < word.end
        end = word.end
        assert forms_of(text[word.start : word.end]) == [word.form]


@given(st.text())
def test_forms_can_be_written_in_a_query(text: str) -> None:
    """Nothing in them ends a quotation; and they are no longer than an index takes."""
    for form in forms_of(text):
        assert 0 < len(form) <= LONGEST_FORM
        assert not set(form) & set("'\\=:*&|!()<> \n")


@given(st.text(st.characters(codec="ascii")))
def test_the_shorter_way_for_ascii_is_the_same(text: str) -> None:
    """As if there were an accent somewhere."""
    assert [*forms_of(text), "e"] == forms_of(f"{text} é")


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    """So what is compared does not depend on where it comes from."""
    assert folded(folded(text)) == folded(text)


@pytest.mark.parametrize(
    ("needle", "places"),
    [
        (Needle(("milk",)), [0, 2]),
        (Needle(("mil",)), []),
        (Needle(("mil",), prefix=True), [0, 1, 2]),
        (Needle(("mild", "milk")), [1]),
        (Needle(("milk", "mil"), prefix=True), [0]),
        (Needle(("milk", "bread", "x")), []),
        (Needle(("milk", "bread", "x", "y")), []),
    ],
)
def test_needles(needle: Needle, places: list[int]) -> None:
    """Words in a row; the last may go on, if it is a prefix."""
    assert list(needle.found_at(["milk", "mild", "milk", "bread"])) == places
