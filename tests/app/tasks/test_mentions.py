"""Mentions: who is called by name, and who only seems to be."""

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
def test_who_is_mentioned(text: str, mentioned: list[str]) -> None:
    """In order and once; the longest name counts, and punctuation after it does not."""
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
def test_who_is_not_mentioned(text: str) -> None:
    """In other names, in addresses, in code, or when it could be two people."""
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
def test_who_is_mentioned_beside_code(text: str) -> None:
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
def test_names_are_mentioned_however_they_are_spelled(text: str, member: str) -> None:
    """And where scripts have no spaces, without one."""
    assert mentions_in(text, [member]) == (member,)


@pytest.mark.parametrize(
    ("text", "member"), [("@हिन्दी", "हिन्द"), ("@ann\u0301", "ann"), ("@नमस्ते", "नम"), ("@田中", "田")]
)
def test_a_part_of_a_name_mentions_nobody_else(text: str, member: str) -> None:
    """Marks belong to the name; of two members the one with the longer name is meant."""
    other = {"@田中": "田中"}.get(text)
    assert mentions_in(text, [member, *([other] if other else [])]) == ((other,) if other else ())


def test_an_exact_name_is_of_its_owner_alone() -> None:
    """Letters' case is overlooked only where that leaves no doubt."""
    assert mentions_in("@Bob", ["bob", "Bob"]) == ("Bob",)
    assert mentions_in("@BOB", ["bob", "Bob"]) == ()
    assert mentions_in("@BOB", ["bob"]) == ("bob",)
    assert mentions_in("@bob", []) == ()
    assert mentions_in("@bob", [""]) == ()


@given(st.lists(NAMES, max_size=6), st.lists(NAMES.map("@".__add__) | NAMES, max_size=8).map("".join))
def test_only_members_are_mentioned(members: list[str], text: str) -> None:
    """Each once, in the order of the text, whatever ids there are."""
    mentioned = mentions_in(text, members)
    assert len(set(mentioned)) == len(mentioned)
    assert set(mentioned) <= set(members)
    places = [text.casefold().find(f"@{name}".casefold()) for name in mentioned]
    assert -1 not in places


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_no_text_is_an_error(text: str, members: list[str]) -> None:
    """Whatever it and the members' ids are made of."""
    assert set(mentions_in(text, members)) <= set(members)


@given(
    st.lists(WORDS, min_size=1, max_size=5, unique_by=str.casefold),
    st.data(),
)
def test_everybody_called_is_mentioned(members: list[str], data: st.DataObject) -> None:
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
def test_a_long_text_is_no_burden(piece: str) -> None:
    """Reading takes milliseconds, whatever the text repeats."""
    members = [f"{'a' * length}nn lee" for length in range(1, 100)]
    begun = time.process_time()
    mentions_in((piece * 20_000)[:20_000], members)
    assert time.process_time() - begun < 1
