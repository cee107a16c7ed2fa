"""Texts of many scripts, for properties that must hold for all of them."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = [
    *("a", "b", " ", "\n", "-", "1", "é", "e\u0301", "ß", "İ", "ё", "й", "и\u0306"),
    *("हिन्दी", "हिन्दू", "क्षि", "\u0dc1\u0dca\u200d\u0dbb\u0dd3", "தமிழ்", "বাংলা"),
    *("مُحَمَّد", "محمد", "می\u200cخواهم", "שָׁלוֹם", "שלום"),
    *("ภาษาไทย", "น้ำ", "ພາສາລາວ", "ភាសាខ្មែរ", "မြန်မာစာ", "བོད་ཡིག"),
    *("東京", "バス", "ﾊﾞｽ", "が", "㌔", "葛\U000e0100", "한국어", "ㄅ"),
    *("👨\u200d👩\u200d👧", "👍🏽", "❤\ufe0f", "🇩🇪", "1\ufe0f\u20e3", "™"),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join)
WORDS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
"""Text as people write it: without marks that stand alone."""
