"""Mentions: names of members in a text."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.tasks.mentions import mentions_in

MEMBERS = ("ann", "anna", "Ann Lee", "bob", "bob.", "cat@example.com", "Zoë", "dr. who", "Kim", "KIM")
NAMES = st.text(st.sampled_from("abAB.@- \u00e9_9`"), min_size=1, max_size=6)
WORDS = st.text(st.sampled_from("abcXYZ\u00e9\u00df_019"), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("@ann", ["ann"]),
        ("hello @ann!", ["ann"]),
        ("(@ann, @anna)", ["ann", "anna"]),
        ("@anna and @ann and @anna", ["anna", "ann"]),
        ("@ann's list, @ann: look", ["ann"]),
        ("@Ann Lee, please", ["Ann Lee"]),
        ("@Ann Leeds", ["ann"]),
        ("@ANNA", ["anna"]),
        ("@ann lee", ["Ann Lee"]),
        ("@ZOË", ["Zoë"]),
        ("ask @bob.", ["bob."]),
        ("ask @bob, @bob! @bob", ["bob"]),
        ("@cat@example.com", ["cat@example.com"]),
        ("@cat@example.com.", ["cat@example.com"]),
        ("@dr. who?", ["dr. who"]),
        ("@ann/@anna\n@bob", ["ann", "anna", "bob"]),
        ("@@ann", ["ann"]),
        ("@Kim and @KIM", ["Kim", "KIM"]),
    ],
)
def test_members_are_mentioned_by_name(text: str, mentioned: list[str]) -> None:
    """In order and once; the longest name counts, and trailing punctuation does not."""
    assert mentions_in(text, MEMBERS) == tuple(mentioned)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "@ ann",
        "ann",
        "me@ann",
        "me_@ann",
        "é@ann",
        "@annabel",
        "@ann_",
        "@ann9",
        "@ann-lee",
        "@ann.lee",
        "@ann@example.com",
        "@anne\u0301",
        "@ann\u0301",
        "@ann\u200cie",
        "@kim",
        "https://example.com/@ann",
        "`@ann`",
        "``a ` @ann``",
        "```\n@ann\n```",
        "~~~ python\n@ann\n~~~\n",
        "  ```\n@ann",
        "> ```\n> @ann\n> ```",
        "````\n```\n@ann\n````",
    ],
)
def test_names_in_other_text_are_not_mentions(text: str) -> None:
    """In other names, in addresses, in code, or if two users match."""
    assert mentions_in(text, MEMBERS) == ()


@pytest.mark.parametrize(
    "text",
    [
        "a lone ` and @ann",
        "`code` @ann `code`",
        "`` ` ``` @ann",
        "one ` here\n\n@ann and one ` there",
        "```\ncode\n```\n@ann",
        "```\r\ncode\r\n```\r\n@ann",
        "``` not a fence ``` @ann",
        "https://example.com @ann",
    ],
)
def test_names_after_code_are_mentions(text: str) -> None:
    """Code ends where Markdown ends it."""
    assert mentions_in(text, MEMBERS) == ("ann",)


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("@Zoe\u0308!", "Zoë"),
        ("@STRASSE, bitte", "straße"),
        ("@ﾃｽﾄ を", "テスト"),
        ("@田中さん、お願いします", "田中"),
        ("資料@alice", "alice"),
        ("@aliceさん", "alice"),
        ("@علی\u200cرضا سلام", "علی\u200cرضا"),
        ("@علیرضا سلام", "علی\u200cرضا"),
        ("@Ann\u00a0Lee", "Ann Lee"),
    ],
)
def test_names_are_matched_in_any_spelling(text: str, member: str) -> None:
    """In scripts without spaces, without one."""
    assert mentions_in(text, [member]) == (member,)


@pytest.mark.parametrize(
    ("text", "member"), [("@हिन्दी", "हिन्द"), ("@ann\u0301", "ann"), ("@नमस्ते", "नम"), ("@田中", "田")]
)
def test_part_of_a_name_mentions_nobody(text: str, member: str) -> None:
    """Combining marks belong to the name; the longer of two names counts."""
    other = {"@田中": "田中"}.get(text)
    assert mentions_in(text, [member, *([other] if other else [])]) == ((other,) if other else ())


def test_exact_name_takes_precedence() -> None:
    """Case is ignored only where that is unambiguous."""
    assert mentions_in("@Bob", ["bob", "Bob"]) == ("Bob",)
    assert mentions_in("@BOB", ["bob", "Bob"]) == ()
    assert mentions_in("@BOB", ["bob"]) == ("bob",)
    assert mentions_in("@bob", []) == ()
    assert mentions_in("@bob", [""]) == ()


@given(st.lists(NAMES, max_size=6), st.lists(NAMES.map("@".__add__) | NAMES, max_size=8).map("".join))
def test_only_members_are_mentioned(members: list[str], text: str) -> None:
    """Each once, in the order of the text, for any ids."""
    mentioned = mentions_in(text, members)
    assert len(set(mentioned)) == len(mentioned)
    assert set(mentioned) <= set(members)
    places = [text.casefold().find(f"@{name}".casefold()) for name in mentioned]
    assert -1 not in places


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_no_text_raises_an_error(text: str, members: list[str]) -> None:
    """For any members' ids."""
    assert set(mentions_in(text, members)) <= set(members)


@given(
    st.lists(WORDS, min_size=1, max_size=5, unique_by=str.casefold),
    st.data(),
)
def test_every_named_member_is_mentioned(members: list[str], data: st.DataObject) -> None:
    """Between words and punctuation of any kind."""
    called = data.draw(st.lists(st.sampled_from(members)))
    between = st.sampled_from([" ", ", ", "\n\n", "! ", " and ", ". ", "/", "; a@b.c, ", " `@x` "])
    text = "".join(f"@{name}{data.draw(between)}" for name in called)
    assert mentions_in(text, members) == tuple(dict.fromkeys(called))


@given(st.text(st.characters(exclude_characters="`")), st.integers(1, 4))
def test_code_mentions_nobody(text: str, backticks: int) -> None:
    """A span of any number of backticks, a fence of three or more."""
    assume("\n" not in text)
    mark = "`" * backticks
    assert mentions_in(f"{mark}@ann {text} @ann{mark}", ["ann"]) == ()


@pytest.mark.parametrize("piece", ["@", "@ann", "`", "@a` ``", "\n```", "> ", "\n ", "@ann lee "])
def test_long_text_is_scanned_in_milliseconds(piece: str) -> None:
    """Whatever it repeats."""
    members = [f"{'a' * length}nn lee" for length in range(1, 100)]
    begun = time.process_time()
    mentions_in((piece * 20_000)[:20_000], members)
    assert time.process_time() - begun < 1
