"""Entity tags: parsing of lists, and the two comparisons of RFC 9110."""

from __future__ import annotations

import pytest

from api.commands.entity_tags import (
    MAX_TAGS,
    EntityTag,
    Precondition,
    Tags,
    parse_tags,
    read_tag,
    tag_of_content,
)
from app.errors import Malformed, PreconditionFailed

STRONG, WEAK = EntityTag("3"), EntityTag("3", weak=True)


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        (['"3"'], [STRONG]),
        (['W/"3"'], [WEAK]),
        (['"1", W/"3" ,"5"'], [EntityTag("1"), WEAK, EntityTag("5")]),
        (['"1"', '"3"'], [EntityTag("1"), STRONG]),
        ([', ,"3",, '], [STRONG]),
        (['"a,b"'], [EntityTag("a,b")]),
        (['""'], [EntityTag("")]),
        (['"*"'], [EntityTag("*")]),
    ],
)
def test_list_of_tags_is_parsed(lines: list[str], tags: list[EntityTag]) -> None:
    """Several lines, blanks and empty elements are allowed."""
    assert parse_tags("If-Match", lines) == Tags(tuple(tags))


@pytest.mark.parametrize(
    "line", ["3", '"', '"3', '"3""4"', 'w/"3"', "", " ", ",", '*, "3"', '"3", *', '"a b"']
)
def test_invalid_tag_is_refused(line: str) -> None:
    """The error names the header."""
    with pytest.raises(Malformed, match="If-None-Match"):
        parse_tags("If-None-Match", [line])


def test_number_of_tags_is_bounded() -> None:
    """Up to a hundred."""
    assert parse_tags("If-Match", ['"1"'] * MAX_TAGS) is not None
    with pytest.raises(Malformed, match="at most"):
        parse_tags("If-Match", ['"1"'] * (MAX_TAGS + 1))


def test_missing_header_differs_from_any() -> None:
    assert parse_tags("If-Match", []) is None
    assert parse_tags("If-Match", [" * "]) == Tags(wildcard=True)


@pytest.mark.parametrize(
    ("given", "current", "strongly", "weakly"),
    [
        (STRONG, STRONG, True, '"3"'),
        (WEAK, STRONG, False, '"3"'),
        (STRONG, WEAK, False, 'W/"3"'),
        (WEAK, WEAK, False, 'W/"3"'),
        (EntityTag("3-gzip"), STRONG, True, '"3-gzip"'),
        (EntityTag("3-zstd"), STRONG, True, '"3-zstd"'),
        (EntityTag("3-xyz"), STRONG, False, None),
        (EntityTag("3-gzip", weak=True), STRONG, False, None),
        (EntityTag("4"), STRONG, False, None),
    ],
)
def test_weak_tags_match_only_weakly(
    given: EntityTag, current: EntityTag, *, strongly: bool, weakly: str | None
) -> None:
    """The response has the tag that the caller kept."""
    tags = Tags((EntityTag("9"), given))
    assert tags.strongly(current) == strongly
    found = tags.weakly(current)
    assert (None if found is None else str(found)) == weakly


def test_strong_tags_of_codings_differ() -> None:
    """And can be parsed again."""
    assert str(STRONG.compressed()) == str(STRONG.compressed().compressed()) == '"3-gzip"'
    assert WEAK.compressed() == WEAK
    for tag in (STRONG, WEAK, STRONG.compressed(), tag_of_content(b"x")):
        assert read_tag(str(tag)) == tag


@pytest.mark.parametrize(
    ("versions", "current", "merged", "strict"),
    [
        ({3}, 3, None, None),
        ({1, 3}, 3, None, None),
        ({3, 7}, 3, None, None),
        ({1, 2}, 3, 2, "refused"),
        ({2, 9}, 3, 2, "refused"),
        ({4}, 3, "refused", "refused"),
        ({1}, None, "refused", "refused"),
    ],
)
def test_merge_base_is_the_newest_older_version(
    versions: set[int], current: int | None, merged: int | str | None, strict: int | str | None
) -> None:
    """There is none with strict handling."""
    for handling, expected in ((False, merged), (True, strict)):
        precondition = Precondition(frozenset(versions), strict=handling)
        if expected == "refused":
            with pytest.raises(PreconditionFailed):
                precondition.base_of(current)
        else:
            assert precondition.base_of(current) == expected
