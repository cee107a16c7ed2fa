"""Folding: equal and different words in each script."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text.folding import folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "straße"),
        ("ærøskøbing", "AEROSKOBING"),
        ("Łódź", "lodz"),
        ("İstanbul ısı", "istanbul ISI"),
        ("Việt Nam đường", "viet nam duong"),
        ("ΑΘΉΝΑ ὁδός", "αθηνα οδοσ"),
        ("ёлка", "Елка"),
        ("за\u0301мок", "замок"),
        ("и\u0306од", "йод"),
        ("مُحَمَّد", "محمد"),
        ("مـــحمد", "محمد"),
        ("أحمد إيمان آب", "احمد ايمان اب"),
        ("علی کتاب", "علي كتاب"),
        ("مدرسة", "مدرسه"),
        ("می\u200cخواهم", "میخواهم"),
        ("ﷲ", "الله"),
        ("שָׁלוֹם", "שלום"),
        ("\u0dc1\u0dca\u200d\u0dbb\u0dd3", "\u0dc1\u0dca\u0dbb\u0dd3"),
        ("ﾃｽﾄ", "テスト"),
        ("ﾊﾞｽ", "バス"),
        ("Ｔａｓｋ１", "task1"),
        ("น้ำ", "น\u0e4d\u0e49า"),
        ("ນ້ຳ", "ນ\u0ecd\u0ec9າ"),
        ("\u1112\u1161\u11ab국", "한국"),
        ("٣ ३ ๓ ۳", "3 3 3 3"),
        ("葛\U000e0100", "葛"),
        ("co\u00adoperate", "cooperate"),
    ],
)
def test_spellings_of_one_word_are_equal(one: str, other: str) -> None:
    """Case, width, optional marks, joiners and keyboard variants do not count."""
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("हिन्दी", "हिन्दू"),
        ("हिन्दी", "हन्द"),
        ("বাংলা", "বংল"),
        ("தமிழ்", "தமிழ"),
        ("バス", "パス"),
        ("バス", "ハス"),
        ("がき", "かき"),
        ("น้ำ", "นำ"),
        ("ใกล้", "ไกล"),
        ("ខ្មែរ", "ខមរ"),
        ("мой", "мои"),
        ("їжак", "іжак"),
        ("ў", "у"),
        ("ދިވެހި", "ދވހ"),
        ("한국", "한구"),
    ],
)
def test_different_words_are_not_equal(one: str, other: str) -> None:
    """Marks count where they make another letter."""
    assert folded(one) != folded(other)


def test_folding_is_the_same_in_every_normal_form() -> None:
    """For every character."""
    ideographs_and_syllables = {*range(0x3400, 0xA000), *range(0xAC00, 0xE000)}
    for character in map(chr, sorted({*range(0x20000)} - ideographs_and_syllables)):
        form = folded(character)
        assert folded(form) == form
        assert folded(normalize("NFD", character)) == form


@given(st.text(max_size=12))
def test_folding_is_idempotent(text: str) -> None:
    assert folded(folded(text)) == folded(text)
