"""Cursors: they fit their query, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import decode_cursor, encode_cursor
from app.errors import Malformed

PLACES = st.lists(st.none() | st.integers(-(2**60), 2**60) | st.text(max_size=50), min_size=1, max_size=3)


@given(st.text(), PLACES)
def test_a_cursor_brings_its_place_back(query: str, place: list[object]) -> None:
    """Whatever the place holds."""
    assert decode_cursor(query, encode_cursor(query, place), len(place)) == place


@given(PLACES)
def test_a_cursor_of_another_query_is_refused(place: list[object]) -> None:
    """Its place would mean something else there."""
    with pytest.raises(Malformed):
        decode_cursor("another", encode_cursor("one", place), len(place))


@given(PLACES, st.data())
def test_a_damaged_cursor_is_refused(place: list[object], data: st.DataObject) -> None:
    """One changed character is enough."""
    cursor = encode_cursor("q", place)
    index = data.draw(st.integers(0, len(cursor) - 2))
    other = data.draw(st.sampled_from("ABCxyz059-_").filter(lambda letter: letter != cursor[index]))
    with pytest.raises(Malformed):
        decode_cursor("q", cursor[:index] + other + cursor[index + 1 :], len(place))


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "caf\u00e9", "A" * 5000, "!!!!", "=", "e30"])
def test_garbage_is_refused(cursor: str) -> None:
    """With one kind of error."""
    with pytest.raises(Malformed):
        decode_cursor("q", cursor, 1)
