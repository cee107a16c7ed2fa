"""Derived identifiers: the same for the same parts, everywhere and for ever."""

from __future__ import annotations

import pytest

from app.ids import derived_id, inbox_id, is_uuid


def test_derived_ids_never_change() -> None:
    """These values are in existing logs."""
    assert derived_id("inbox", "alice") == inbox_id("alice") == "359925f2-aad9-5436-8fba-7a13419ec9c0"
    assert derived_id("event", "alice", "key-1") == "74a29951-9800-5a83-8483-e25d3d8ff3b9"


def test_parts_are_delimited() -> None:
    """Moving a letter to the next part gives another id."""
    assert (
        len({derived_id("a", "bc"), derived_id("ab", "c"), derived_id("abc"), derived_id("a", "b", "c")}) == 4
    )


@pytest.mark.parametrize("text", ["", "x" * 36, derived_id("a").upper(), "{" + derived_id("a")[:34] + "}"])
def test_only_the_canonical_form_is_an_id(text: str) -> None:
    """Since it names a stream."""
    assert is_uuid(derived_id("a"))
    assert not is_uuid(text)
