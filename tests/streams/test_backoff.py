"""Pauses between attempts: they double up to a bound, with jitter."""

from __future__ import annotations

import pytest

from streams.backoff import Backoff


def test_pauses_double_up_to_the_maximum() -> None:
    """Also after very many failures."""
    backoff = Backoff(0.5, 3.0)
    assert [backoff.length_s(failures) for failures in (1, 2, 3, 4, 10_000)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("spread", [(0.5, 1.0), (0.5, 1.5), (1.0, 1.0)])
def test_pauses_have_jitter(spread: tuple[float, float]) -> None:
    """Unless the spread is zero."""
    backoff = Backoff(1.0, 8.0, spread)
    pauses = [backoff.pause_s(2) for _ in range(200)]
    assert all(2.0 * spread[0] <= each <= 2.0 * spread[1] for each in pauses)
    assert len(set(pauses)) > 1 or spread == (1.0, 1.0)
