"""Three-way merge of prose: keeps both texts and guesses nothing."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.conflicts.text_merge import merge_texts
from app.text.graphemes import clusters
from tests import scripts

TEXTS = st.text(st.sampled_from("ab \n-é,"), max_size=30) | st.text(max_size=30)
LINES = st.lists(st.integers(0, 60), max_size=12, unique=True).map(sorted)

SHOPPING = "Shopping\n\n- milk\n- bread\n- tea\n"


@pytest.mark.parametrize(
    ("base", "theirs", "yours", "merged"),
    [
        pytest.param("a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC", id="lines apart"),
        pytest.param("a\nb", "A\nb", "a\nB", "A\nB", id="neighbouring lines"),
        pytest.param("a\nb\nc", "a\nc", "a\nb\nc\nd", "a\nc\nd", id="one deletes, one adds"),
        pytest.param("a\nb\nc", "a\nb\nn\nc", "A\nb\nc", "A\nb\nn\nc", id="one inserts"),
        pytest.param("a\nb", "a\nB", "a\nb\nc", "a\nB\nc", id="the last line changed, one added below"),
        pytest.param("a\nb\nc", "A\nb\nC", "A\nb\nc", "A\nb\nC", id="the same change counts once"),
        pytest.param("buy red car", "buy blue car", "buy red bike", "buy blue bike", id="words of one line"),
        pytest.param("a big red car", "a red car", "a big blue car", "a blue car", id="neighbouring words"),
        pytest.param("Call Bob. Ask.", "Call Ann. Ask.", "Call Bob. Pay.", "Call Ann. Pay.", id="sentences"),
        pytest.param("a\n\nb\n\nc", "a\n\nB\n\nc", "a\n\nb\n\nc c", "a\n\nB\n\nc c", id="paragraphs"),
        pytest.param("über größe", "über Größe", "Über größe", "Über Größe", id="words beyond ASCII"),
    ],
)
def test_changes_of_different_places_are_both_kept(base: str, theirs: str, yours: str, merged: str) -> None:
    """Lines, and words within a line, in either order."""
    assert merge_texts(base, theirs, yours) == merged
    assert merge_texts(base, yours, theirs) == merged


@pytest.mark.parametrize(
    ("base", "theirs", "yours"),
    [
        pytest.param("buy milk", "buy bread", "buy tea", id="one word, two ways"),
        pytest.param("a\nb", "a\nn\nb", "a\nm\nb", id="two lines at one place"),
        pytest.param("buy", "buy milk", "buy bread", id="two words at one place"),
        pytest.param("a\nb\nc", "a\nc", "a\nb b\nc", id="deleted and changed"),
        pytest.param("buy milk", "buy oat milk", "buy bread", id="a word changed, one inserted beside it"),
        pytest.param("one two three", "uno dos tres", "one zwei three", id="rewritten and changed"),
        pytest.param("a\nb\nc", "a\nx\ny\nc", "a\nb\nn\nc", id="a line made two, one inserted below"),
        pytest.param("- a\n- b", "- x", "- y", id="only punctuation in common"),
    ],
)
def test_different_changes_of_one_place_conflict(base: str, theirs: str, yours: str) -> None:
    """In either order."""
    assert merge_texts(base, theirs, yours) is None
    assert merge_texts(base, yours, theirs) is None


@pytest.mark.parametrize(
    ("base", "theirs", "yours", "merged"),
    [
        pytest.param("a", "a\nb", "a\nc", "a\nb\nc", id="a line each"),
        pytest.param("a\n", "a\nb\n", "a\nc\n", "a\nb\nc\n", id="a line break at the end"),
        pytest.param("a\n", "a\nb", "a\nc\n", "a\nb\nc", id="a line break at the end of one"),
        pytest.param("", "b", "c", "b\nc", id="nothing there before"),
        pytest.param("a", "a\n\n- b", "a\n\n- c", "a\n\n- b\n- c", id="with the same blank line"),
        pytest.param("a", "a\nb\nc", "a\nb\nd", "a\nb\nc\nd", id="the same line and another"),
        pytest.param("a", "a\nb\nc", "a\nd\nb", "a\nb\nc\nd", id="another line and the same"),
        pytest.param("a", "a\nb\n\nc", "a\nd\n\ne", "a\nb\n\nc\nd\n\ne", id="paragraphs"),
        pytest.param("x\na", "X\na\nb", "x\na\nc", "X\na\nb\nc", id="and a change further up"),
    ],
)
def test_lines_added_at_the_end_by_both_are_kept(base: str, theirs: str, yours: str, merged: str) -> None:
    """The earlier ones come first; equal ones are kept once."""
    assert merge_texts(base, theirs, yours) == merged


@pytest.mark.parametrize(
    ("base", "first", "second"),
    [
        ("", "buy milk", "buy milk\nand bread"),
        ("buy", "buy milk", "buy milk and bread"),
        ("a\nb", "A\nb", "A\nB"),
        ("a\nb", "a\nB", "A\nB"),
        ("a\nb", "a\nn\nb", "a\nm\nn\nb"),
        ("a b\nc", "A b\nc", "A b and more\nc"),
    ],
)
def test_saving_again_from_an_old_base_does_not_conflict(base: str, first: str, second: str) -> None:
    """A save with a lost response is in the log; the next one still names the old base."""
    assert merge_texts(base, first, second) == second
    assert merge_texts(base, second, first) == second


def test_shared_shopping_list_merges() -> None:
    """One side ticks off and adds, the other corrects and adds."""
    theirs = "Shopping\n\n- [x] milk\n- bread\n- tea\n- eggs\n"
    yours = "Shopping for Sunday\n\n- milk\n- rye bread\n- tea\n- jam\n"
    merged = merge_texts(SHOPPING, theirs, yours)
    assert merged == "Shopping for Sunday\n\n- [x] milk\n- rye bread\n- tea\n- eggs\n- jam\n"


# --- laws ------------------------------------------------------------------------------------------------


@given(TEXTS, TEXTS)
def test_single_change_is_taken_unmodified(base: str, changed: str) -> None:
    """If the other side changed nothing, or the same."""
    assert merge_texts(base, base, changed) == changed
    assert merge_texts(base, changed, base) == changed
    assert merge_texts(base, changed, changed) == changed


@given(TEXTS, TEXTS, TEXTS)
def test_merge_is_symmetric(base: str, theirs: str, yours: str) -> None:
    """Except for the order of lines that both added at the end; no text raises an error."""
    one, other = merge_texts(base, theirs, yours), merge_texts(base, yours, theirs)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert sorted(one.split("\n")) == sorted(other.split("\n"))


def text_of(numbers: list[int]) -> str:
    return "\n".join(f"line {number:02}" for number in numbers)


@given(LINES, LINES, LINES)
def test_merge_loses_no_line_and_restores_none(base: list[int], theirs: list[int], yours: list[int]) -> None:
    """Added lines are included, deleted ones are not, and common ones stay."""
    assume(set(theirs) & set(yours) <= set(base))
    merged = merge_texts(text_of(base), text_of(theirs), text_of(yours))
    assume(merged is not None)
    assert merged is not None
    kept = set(base) & set(theirs) & set(yours)
    added = (set(theirs) | set(yours)) - set(base)
    assert sorted(merged.splitlines()) == [text_of([number]) for number in sorted(kept | added)]


@given(LINES, LINES, LINES)
def test_merge_contains_all_added_lines_and_no_others(
    base: list[int], theirs: list[int], yours: list[int]
) -> None:
    merged = merge_texts(text_of(base), text_of(theirs), text_of(yours))
    assume(merged is not None)
    assert merged is not None
    kept = set(base) & set(theirs) & set(yours)
    added = (set(theirs) | set(yours)) - set(base)
    assert set(merged.splitlines()) == {text_of([number]) for number in kept | added}


@given(LINES, st.data())
def test_changes_separated_by_a_line_never_conflict(base: list[int], data: st.DataObject) -> None:
    owners = data.draw(st.lists(st.sampled_from([0, 1]), min_size=len(base), max_size=len(base)))
    choice = st.sampled_from(["keep", "change", "delete"])
    sides: tuple[list[str], list[str], list[str], list[str]] = ([], [], [], [])
    for number, owner in zip(base, owners, strict=True):
        what = data.draw(choice)
        line = f"line{number}"
        changed = {"keep": [line], "change": [f"new{number}"], "delete": []}[what]
        for side, mine in enumerate((None, 0, 1, owner)):
            sides[side].extend([*(changed if mine == owner else [line]), f"between{number}"])
    original, theirs, yours, both = map("\n".join, sides)
    assert merge_texts(original, theirs, yours) == both


# --- scripts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "theirs", "yours", "both"),
    [
        ("नमस्ते दुनिया आज", "नमस्कार दुनिया आज", "नमस्ते दुनिया कल", "नमस्कार दुनिया कल"),
        ("買い物、掃除、洗濯。", "買物、掃除、洗濯。", "買い物、掃除、料理。", "買物、掃除、料理。"),
        ("#\ufe0f\u20e3 a, b", "#\ufe0f\u20e3 x, b", "#\ufe0f\u20e3 a, y", "#\ufe0f\u20e3 x, y"),
        ("👨\u200d👩 a, b", "👨\u200d👩 x, b", "👨\u200d👩 a, y", "👨\u200d👩 x, y"),
        ("cafe\u0301 a, b", "cafe\u0301 x, b", "cafe\u0301 a, y", "cafe\u0301 x, y"),
        ("à", "à\né", "à\nö", "à\né\nö"),
        ("-\u0301 a, b", "\u0301 a, b", "- a, b", None),
        ("会議は月曜です", "会議は火曜です", "会議は月末です", None),
    ],
)
def test_words_of_all_scripts_merge(base: str, theirs: str, yours: str, both: str | None) -> None:
    """By words and signs; a phrase of a script without spaces is not divided."""
    assert merge_texts(base, theirs, yours) == both


@given(scripts.TEXTS, scripts.TEXTS, scripts.TEXTS)
def test_merge_creates_no_new_grapheme_clusters(base: str, theirs: str, yours: str) -> None:
    merged = merge_texts(base, theirs, yours)
    if merged is not None:
        known = {cluster for text in (base, theirs, yours) for cluster in clusters(text)}
        assert set(clusters(merged)) <= {"\n", "\r\n", *known}


# --- cost ------------------------------------------------------------------------------------------------


def hostile(separator: str, words: int, side: str) -> str:
    """Return a text of few different words, each next to a unique one: the worst case of a comparison."""
    pairs = [f"{number % 10} {side}{number}".replace(" ", separator) for number in range(words)]
    return separator.join([side, *pairs, side])[:20_000]


@pytest.mark.parametrize("separator", ["\n", " "])
@pytest.mark.parametrize("words", [300, 1000, 3000])
def test_hostile_text_merges_in_bounded_time(separator: str, words: int) -> None:
    """Maximum length of notes. It takes 0.1 s, and took minutes without a bound; the limit fits a slow
    machine."""
    begun = time.process_time()
    assert merge_texts(*(hostile(separator, words, side) for side in "bty")) is None
    assert time.process_time() - begun < 1


def test_long_notes_merge_by_words() -> None:
    """One paragraph of 3,000 words, with a change every hundred."""
    base = random.Random(1).choices([f"word{number}" for number in range(500)], k=3000)
    theirs, yours, both = base[:], base[:], base[:]
    for at in range(0, 3000, 100):
        theirs[at] = both[at] = f"their{at}"
        yours[at + 50] = both[at + 50] = f"your{at}"
    assert merge_texts(" ".join(base), " ".join(theirs), " ".join(yours)) == " ".join(both)
