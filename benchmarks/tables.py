"""Tables of figures in Markdown, readable in a terminal and in a document."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows under their heads; the first column is text, the others are figures."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (heads, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    padded = [first.ljust(widths[0])]
    padded += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return f"| {' | '.join(padded)} |"


def ratios(what: str, events: int, others: Sequence[float], ours: Sequence[float]) -> tuple[str, ...]:
    """Return a row of speeds in events per second: the median, and our speed relative to it, by run."""
    times = [mine / theirs for mine, theirs in zip(ours, others, strict=True)]
    how_many = f"{median(times):.1f} x ({min(times):.1f} to {max(times):.1f})"
    return (what, f"{events:,}", f"{median(others):,.0f}", how_many)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
