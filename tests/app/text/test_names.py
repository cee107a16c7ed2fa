"""Names: valid ones, and equal ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.text.names import (
    caseless,
    is_visible,
    label_of,
    normal_user,
    user_name,
    with_replacements,
    without_invisible,
)
from app.values import CommentText, Label, ListName, Title, UserId
from tests.scripts import TEXTS

FAMILY = "👨\u200d👩\u200d👧"
NAMES = [
    "علی\u200cرضا",
    "می\u200cخواهم",
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3 ලංකා",
    "అ\u0c15\u0c4d\u200cషయ",
    "അവന\u0d4d\u200d",
    "\u09b0\u200d\u09cd\u09af\u09be\u09ac",
    f"{FAMILY} family",
    "1\ufe0f\u20e3 first",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "ᠮᠣᠩᠭᠣᠯ",
    "\u0600١٢",
    "O'Brien, Zoë <zoe@example.com>",
    "田中 太郎",
    "𑼂",
]
NO_NAMES = [
    "\u200b",
    "a\u200bb",
    "\u3164",
    "\u2800",
    "\u115f",
    "\ufe0f",
    "\u034f",
    "\u0301",
    "a\u200cb",
    "a\u200db",
    "کار\u200cها",
    "علی\u200c",
    "👨\u200d",
    "\u202eecila",
    "ali\u2066ce\u2069",
    "a\u200e",
    "a\u061cb",
    "a\u00adb",
    "a\ue000b",
    "a\x00b",
    "a\tb",
    "a\x7f",
    "a\u2028b",
    "\ufff9a",
    "\ufdd0a",
    "a\U000e0041",
    "\ud800a",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_scripts_are_accepted(name: str) -> None:
    """With joiners, variation selectors and tags where they belong."""
    assert label_of(name, 100) == name
    assert user_name(name) == normal_user(name)


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("kind", [Label, ListName, UserId], ids=["label", "list", "user"])
def test_names_with_invisible_characters_are_refused(name: str, kind: type[str]) -> None:
    """Controls, bidirectional ones too, stray joiners, and names of nothing visible."""
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(name)


def test_refusal_names_the_character() -> None:
    """Since it is invisible."""
    with pytest.raises(ValueError, match=r"must not contain U\+202E, which is invisible there"):
        user_name("alice\u202e")
    with pytest.raises(ValueError, match="must contain a visible character"):
        user_name("\u2800")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Rene\u0301", "René"),
        ("ａｌｉｃｅ", "alice"),
        ("ﾃｽﾄ", "テスト"),
        ("Ann\u00a0Lee", "Ann Lee"),
        ("Ann  Lee", "Ann Lee"),
        ("葛\U000e0100", "葛"),
        ("ﬁona", "fiona"),
    ],
)
def test_spellings_of_a_user_are_one_user(one: str, other: str) -> None:
    """By compatibility, RFC 8266."""
    assert user_name(one) == other == user_name(other)


@pytest.mark.parametrize("name", [".", "..", "．．", "․", " alice", "alice\u3000", "ﷺ" * 10, "u" * 129])
def test_users_are_checked_after_normalisation(name: str) -> None:
    with pytest.raises(ValueError, match="must"):
        user_name(name)


def test_labels_keep_their_width_and_have_one_normal_form() -> None:
    """Tags, stages and lists use NFC."""
    assert TypeAdapter(Label).validate_python(" cafe\u0301 ") == "café"
    assert TypeAdapter(Label).validate_python("ﾃｽﾄ") == "ﾃｽﾄ"


@pytest.mark.parametrize("text", [name for name in NO_NAMES if not is_visible(name)])
@pytest.mark.parametrize("kind", [Title, CommentText], ids=["title", "comment"])
def test_invisible_texts_are_refused(text: str, kind: type[str]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


@pytest.mark.parametrize("title", ["می\u200cخواهم", "a\u200bb", "\u202bשלום\u202c", "👍🏽", "x\u00ad"])
def test_titles_allow_more_characters(title: str) -> None:
    """They are prose, not names."""
    assert TypeAdapter(Title).validate_python(title) == title


@pytest.mark.parametrize(("kind", "longest"), [(Label, 100), (Title, 500), (ListName, 500), (UserId, 128)])
def test_length_is_counted_in_code_points(kind: type[str], longest: int) -> None:
    """As OpenAPI's maxLength counts them, whatever their UTF-8 and UTF-16."""
    adapter = TypeAdapter(kind)
    assert adapter.json_schema()["maxLength"] == longest
    assert adapter.validate_python("🥛" * longest) == "🥛" * longest
    with pytest.raises(ValidationError):
        adapter.validate_python("🥛" * (longest + 1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Einkäufe", "EINKA\u0308UFE"),
        ("ＴＥＳＴ", "test"),
        ("می\u200cخواهم", "میخواهم"),
        ("ß", "SS"),
    ],
)
def test_names_are_matched_without_case_and_width(one: str, other: str) -> None:
    """But with their accents."""
    assert caseless(one) == caseless(other)
    assert caseless("cafe") != caseless("café")


@given(TEXTS)
def test_normalisation_is_idempotent(text: str) -> None:
    """A valid name stays valid, and the same."""
    for spelled in (user_name, lambda name: label_of(name, 100)):
        try:
            name = spelled(text)
        except ValueError:
            continue
        assert spelled(name) == name
    assert caseless(caseless(text)) == caseless(text)
    assert without_invisible(without_invisible(text)) == without_invisible(text)


@given(st.text())
def test_text_made_a_name_is_valid(text: str) -> None:
    """Except for its length."""
    if is_visible(name := without_invisible(text).strip()):
        assert label_of(name, 1_000)
        assert "\ufffd" not in with_replacements(name) or "\ufffd" in name
