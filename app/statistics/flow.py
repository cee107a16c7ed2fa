"""Flow: numbers of tasks at the end of each day, summed up from changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

from app.statistics.report import GroupSeries

K = TypeVar("K", bound=Hashable)
Change = tuple[K, int, int]
"""The key of a number, a day (from 1), and the change on that day; day 1 includes all before."""
MOST_GROUPS = 50


def running(changes: Iterable[Change[K]], days: int) -> Mapping[K, list[int]]:
    """Return the number of each key at the end of each day."""
    return {key: list(accumulate(counts)) for key, counts in daily(changes, days).items()}


def daily(changes: Iterable[Change[K]], days: int) -> dict[K, list[int]]:
    """Return the sum of each key's changes on each day."""
    found: dict[K, list[int]] = defaultdict(lambda: [0] * days)
    for key, day, change in changes:
        found[key][day - 1] += change
    return found


def largest(groups: Iterable[GroupSeries]) -> tuple[Sequence[GroupSeries], int]:
    """Return the groups with the most tasks, and the number of the others.

    They are ordered by open tasks at the end, then by completions, then by name.
    """
    ordered = sorted(groups, key=_order)
    return ordered[:MOST_GROUPS], max(0, len(ordered) - MOST_GROUPS)


def _order(group: GroupSeries) -> tuple[int, int, bool, str]:
    return -group.open[-1], -sum(group.completed), group.key is None, group.key or ""
