"""Cursors: valid for one query, and refused otherwise."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from api.http.cursors import TIME_AND_ID, Offset, Partition, decode_cursor, encode_cursor
from app.errors import Malformed

ANY: TypeAdapter[list[Any]] = TypeAdapter(list[Any])
PLACES = st.lists(st.none() | st.integers(-(2**60), 2**60) | st.text(max_size=50), min_size=1, max_size=3)


@given(st.text(), PLACES)
def test_cursor_round_trips(query: str, place: list[object]) -> None:
    """With any values."""
    assert decode_cursor(query, encode_cursor(query, place), ANY) == place


@given(PLACES)
def test_cursor_of_another_query_is_refused(place: list[object]) -> None:
    """Its position would mean something else there."""
    with pytest.raises(Malformed):
        decode_cursor("another", encode_cursor("one", place), ANY)


@given(PLACES, st.data())
def test_damaged_cursor_is_refused(place: list[object], data: st.DataObject) -> None:
    """One changed character is enough."""
    cursor = encode_cursor("q", place)
    index = data.draw(st.integers(0, len(cursor) - 2))
    other = data.draw(st.sampled_from("ABCxyz059-_").filter(lambda letter: letter != cursor[index]))
    with pytest.raises(Malformed):
        decode_cursor("q", cursor[:index] + other + cursor[index + 1 :], ANY)


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "caf\u00e9", "A" * 5000, "!!!!", "=", "e30"])
def test_garbage_cursor_is_refused(cursor: str) -> None:
    """With one kind of error."""
    with pytest.raises(Malformed):
        decode_cursor("q", cursor, ANY)


def test_cursor_values_are_validated() -> None:
    """Cursors may be forged; times are UTC, whatever they were written in."""
    time = datetime(2026, 12, 1, 8, tzinfo=UTC)
    for written in (time, "2026-12-01T09:00:00+01:00"):
        assert decode_cursor("q", encode_cursor("q", [written, "a"]), TIME_AND_ID) == (time, "a")
    for wrong in (
        *([time], [time, 5], [time, "a\x00"], ["soon", "a"], ["2026-12-01T09:00:00", "a"], [[], "a"]),
        *(["0001-01-01T00:00:00+05:00", "a"], [time, "a", "b"], {"time": time}),
    ):
        with pytest.raises(Malformed):
            decode_cursor("q", encode_cursor("q", wrong), TIME_AND_ID)  # type: ignore[arg-type]
    position: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[Partition, Offset])
    for numbers in ([0, 2**63], [-1, 0], [2**31, 0], [0, -2], [0, None], [0, 1.5]):
        with pytest.raises(Malformed):
            decode_cursor("q", encode_cursor("q", numbers), position)
