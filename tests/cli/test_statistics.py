"""The lines and charts of `tasktape stats`."""

from __future__ import annotations

import pytest

from tasktape.cli.statistics import CHART_CHARS, sparkline


@pytest.mark.parametrize(
    ("numbers", "bars"),
    [([], ""), ([0, 0], "▁▁"), ([0, 1], "▁█"), ([0, 1, 4, 7], "▁▂▅█"), ([5, 5], "██"), ([-1, 1], "▁█")],
)
def test_bars_are_as_high_as_the_numbers(numbers: list[int], bars: str) -> None:
    """Zero alone is the lowest bar."""
    assert sparkline(numbers) == bars


def test_long_ranges_have_several_days_in_a_bar() -> None:
    chart = sparkline([0] * 500 + [9])
    assert len(chart) <= CHART_CHARS
    assert chart == "▁" * (len(chart) - 1) + "█"
