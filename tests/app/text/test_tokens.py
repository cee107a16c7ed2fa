"""Words of texts: equality and positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text.graphemes import boundary_after, boundary_before
from app.text.tokens import LONGEST_FORM, Needle, forms_of, words_of
from tests.scripts import TEXTS, WORDS


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
        ("हिन्दी, हिन्दू", ["हिन्दी", "हिन्दू"]),
        ("مُحَمَّد שָׁלוֹם", ["محمد", "שלום"]),
        ("ﾃｽﾄ㌔", ["テ", "ス", "ト", "キ", "ロ"]),
        ("ภาษา ๑๒", ["ภ", "า", "ษ", "า", "12"]),
        ("ខ្មែរ", ["ខ្មែ", "រ"]),
        ("တော်", ["တေ", "ာ်"]),
        ("한국어 iPhone15を", ["한국어", "iphone15", "を"]),
        ("👨\u200d👩\u200d👧👍🏽❤\ufe0f🇩🇪 ™", ["👨👩👧", "👍", "❤", "🇩🇪"]),
        ("می\u200cخواهم foo\u200bbar co\u00adop", ["ميخواهم", "foo", "bar", "coop"]),
        ("\u0301 -- …", []),
        ("", []),
    ],
)
def test_words_ignore_case_accents_and_punctuation(text: str, forms: list[str]) -> None:
    """Signs of scripts without spaces are words of their own."""
    assert forms_of(text) == forms


@given(TEXTS)
def test_words_have_their_positions(text: str) -> None:
    """In order, those of one cluster at one place, and each with a form of its part of the text."""
    before = (0, 0)
    for word in words_of(text):
        place = (word.start, word.end)
        assert place == before or before[1] <= word.start < word.end
        before = place
        assert word.form in forms_of(text[word.start : word.end])


@given(WORDS)
def test_words_are_whole_clusters(text: str) -> None:
    """At both ends."""
    for word in words_of(text):
        assert boundary_before(text, word.start) == word.start
        assert boundary_after(text, word.end) == word.end


@given(TEXTS)
def test_text_contains_each_of_its_words(text: str) -> None:
    """Searched alone or all in a row, as written."""
    forms = forms_of(text)
    for word in words_of(text):
        assert word.form in forms
    if forms:
        assert next(Needle(tuple(forms)).found_at(forms)) == 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ฉันชอบกินข้าวผัดมาก", "ข้าวผัด"),
        ("ຂ້ອຍມັກກິນເຂົ້າ", "ເຂົ້າ"),
        ("ខ្ញុំចូលចិត្តភាសាខ្មែរ", "ភាសា"),
        ("ကျွန်တော်ထမင်းစားသည်", "ထမင်း"),
        ("明日東京で会議があります", "会議"),
        ("我喜欢吃苹果", "苹果"),
    ],
)
def test_word_is_found_inside_a_sentence_without_spaces(text: str, wanted: str) -> None:
    """Thai, Lao, Khmer, Burmese, Japanese and Chinese."""
    assert list(Needle(tuple(forms_of(wanted))).found_at(forms_of(text)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("हिन्दू", "हिन्दी"), ("パス", "バス"), ("น้ำ", "นำ"), ("мои", "мой"), ("हिन्दीभाषी", "हिन्दी")],
)
def test_similar_word_is_not_found(text: str, wanted: str) -> None:
    assert not list(Needle(tuple(forms_of(wanted))).found_at(forms_of(text)))


@given(st.text())
def test_forms_are_safe_in_a_query(text: str) -> None:
    """None ends a quotation; their length fits an index."""
    for form in forms_of(text):
        assert 0 < len(form) <= LONGEST_FORM
        assert not set(form) & set("'\\=:*&|!()<> \n")


@given(st.text(st.characters(codec="ascii")))
def test_fast_path_for_ascii_gives_the_same_words(text: str) -> None:
    """Compared with an accent in the text."""
    assert [*forms_of(text), "e"] == forms_of(f"{text} é")


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
def test_needles_are_words_in_a_row(needle: Needle, places: list[int]) -> None:
    """The last may be a prefix."""
    assert list(needle.found_at(["milk", "mild", "milk", "bread"])) == places
