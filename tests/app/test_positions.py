"""Positions: text and JSON forms, and coverage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Malformed
from app.positions import (
    Position,
    covers,
    format_positions,
    parse_positions,
    positions_from_json,
    positions_to_json,
)

POSITIONS = st.dictionaries(st.integers(0, 1023), st.integers(0, 10**18 - 1), max_size=8)


@given(POSITIONS)
def test_every_form_round_trips(positions: dict[int, int]) -> None:
    """Text and JSON."""
    assert parse_positions(format_positions(positions)) == positions
    assert positions_from_json(positions_to_json(positions)) == positions


def test_forms_are_as_documented() -> None:
    """Header and JSON form, sorted by partition."""
    assert format_positions({3: 44, 0: 121}) == "0:121,3:44"
    assert list(positions_to_json({3: 44, 0: 121}).items()) == [("0", 121), ("3", 44)]
    assert str(Position.parse("0:121")) == "0:121"
    assert parse_positions(" 0:121 , 3:44,") == {0: 121, 3: 44}
    assert parse_positions("") == {}
    assert parse_positions("0:5,0:3") == {0: 5}
    assert positions_from_json({"0": -1}) == {0: -1}


@pytest.mark.parametrize(
    "text", ["x", "0", "0:", ":1", "0:-1", "0:1:2", "٣:1", "0:²", "0 :1", "0:" + "9" * 19, "0:1;1:2"]
)
def test_malformed_text_is_refused(text: str) -> None:
    """The error shows a valid form."""
    with pytest.raises(Malformed, match="is not a position"):
        parse_positions(text)


@pytest.mark.parametrize("value", [{"x": 1}, {"-1": 1}, {"0": -2}, {"0": 2**62}, {"0": True}, {"": 0}])
def test_malformed_json_is_refused(value: dict[str, int]) -> None:
    """A partition is a number in text, an offset a number from -1."""
    with pytest.raises(Malformed):
        positions_from_json(value)


@given(POSITIONS, POSITIONS)
def test_position_covers_another_if_no_partition_lags(
    reached: dict[int, int], wanted: dict[int, int]
) -> None:
    """An absent partition has nothing."""
    together = {n: max(reached.get(n, -1), wanted.get(n, -1)) for n in {*reached, *wanted}}
    assert covers(together, reached)
    assert covers(together, wanted)
    assert covers(reached, {})
    assert covers(reached, wanted) == (together == reached)
