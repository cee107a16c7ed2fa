"""Collation: texts in the order of the Unicode Collation Algorithm."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tasks.sorting import LONGEST_ORDER, title_order
from app.text.collation import collation_key
from tests.scripts import TEXTS

IN_ORDER = """
_x ! “quote @a #tag ★ 😀 $5 €5 1 10 2 ९ Ａ ab aether æther af alpha Angstrom Ångström Apfel Äpfel
apple co-op coop dž eclair Eclair éclair fix ﬁx istanbul Istanbul İstanbul ısı lodz Łódź naive naïve
nandu ñandu nz oe œuvre of ol Øl resume Resume résumé Résumé strasse straße Straße z ž zebra Zebra
þorn ἀλφα άλφα βήτα га ґанок елка ёлка Ёлка ель иод їжак іній йод Київ мир эхо яма אבא שלום שָׁלוֹם
أحمد احمد بابا پدر تاج محمد مُحَمَّد कमल क्षत्रिय हिन्दी हिन्दू กบ เกม แกง ไก่ ขา ໄກ່ ខ្មែរ 가나 각 한국
かす ガス かたかな カタカナ テスト ハス バス パス 中国 日本 東京
""".split()  # noqa: SIM905  # a list of them would be hard to read
"""As ICU 78 sorts it by the root collation."""


def test_titles_of_all_scripts_are_in_standard_order() -> None:
    """Letters decide first, then accents, then case; Thai by consonants, kana by sound."""
    shuffled = random.Random(1).sample(IN_ORDER, len(IN_ORDER))
    assert sorted(shuffled, key=collation_key) == IN_ORDER


@pytest.mark.parametrize(
    ("one", "other"),
    [("é", "e\u0301"), ("Å", "\u212b"), ("한", "\u1112\u1161\u11ab"), ("ệ", "e\u0302\u0323")],
)
def test_canonical_equivalents_have_one_key(one: str, other: str) -> None:
    assert collation_key(one) == collation_key(other)


@given(st.text(st.characters(codec="ascii")), st.text(st.characters(codec="ascii")))
def test_fast_path_for_ascii_gives_the_same_order(one: str, other: str) -> None:
    """Compared by appending a non-ASCII character to both."""
    short = (collation_key(one) > collation_key(other)) - (collation_key(one) < collation_key(other))
    keys = [collation_key(text + "\u00ad") for text in (one, other)]  # which is ignored
    assert short == (keys[0] > keys[1]) - (keys[0] < keys[1])


@given(TEXTS.map(lambda text: text * 40))
def test_sort_keys_fit_an_index(text: str) -> None:
    """A B-tree entry has 2,704 bytes, including the ids of list and task."""
    order = title_order(text)
    assert len(order) <= LONGEST_ORDER
    assert len(order.encode()) < 2_500
    assert "\x00" not in order
