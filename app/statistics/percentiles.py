"""Percentiles, as the read models compute them: with linear interpolation between the nearest values."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = (0.5, 0.85, 0.95)
"""The percentiles of times: half, most and almost all of the tasks."""


def percentile(ordered: Sequence[float], fraction: float) -> float | None:
    """Return a percentile of ascending values; None if there are none."""
    if not ordered:
        return None
    place = (len(ordered) - 1) * fraction
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
