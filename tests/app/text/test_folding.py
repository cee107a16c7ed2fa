"""Folding: what is the same word in each script, and what is not."""

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
def test_spellings_of_one_word_are_the_same(one: str, other: str) -> None:
    """Case, width, optional marks, joiners and what keyboards write differently do not count."""
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
def test_other_words_are_not_the_same(one: str, other: str) -> None:
    """Marks count where they make another letter."""
    assert folded(one) != folded(other)


def test_every_character_folds_once_and_in_every_normal_form_alike() -> None:
    """Whatever a text is decomposed to on its way."""
    ideographs_and_syllables = {*range(0x3400, 0xA000), *range(0xAC00, 0xE000)}
    for character in map(chr, sorted({*range(0x20000)} - ideographs_and_syllables)):
        form = folded(character)
        assert folded(form) == form
        assert folded(normalize("NFD", character)) == form


@given(st.text(max_size=12))
def test_folding_twice_is_folding_once(text: str) -> None:
    """So what is compared does not depend on where it comes from."""
    assert folded(folded(text)) == folded(text)
