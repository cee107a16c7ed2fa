"""The forecast of when so many tasks will be done: a Monte Carlo simulation of the days to come."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from math import ceil
from random import Random

from app.statistics.percentiles import percentile

TRIALS = 1_000
DEFAULT_SEED = 1
MOST_TASKS = 10_000
HORIZON_DAYS = 3_650
"""The days that a trial simulates at most: ten years."""
_CHUNK_DAYS = 50


@dataclass(frozen=True, slots=True)
class Forecast:
    """The days by which `tasks` more tasks will be done in 50, 85 and 95 % of the trials.

    A day is null if it is more than ten years ahead. `per_day` is the mean throughput of the `sampled_days`.
    """

    tasks: int
    seed: int
    trials: int
    sampled_days: int
    per_day: float
    p50: date | None
    p85: date | None
    p95: date | None


def forecast(throughput: Sequence[int], tasks: int, today: date, seed: int) -> Forecast:
    """Simulate the days after `today`: each has the throughput of one of the past days, drawn at random."""
    sampled = len(throughput)
    per_day = sum(throughput) / sampled if sampled else 0.0
    lengths = sorted(_lengths(throughput, tasks, Random(seed)))  # noqa: S311  # a simulation, no secret
    days = [_day(today, percentile(lengths, fraction)) for fraction in (0.5, 0.85, 0.95)]
    return Forecast(tasks, seed, TRIALS, sampled, round(per_day, 4), *days)


def _lengths(throughput: Sequence[int], tasks: int, chance: Random) -> list[int]:
    """Return the number of days that each trial takes; one more than the horizon if it does not end."""
    if tasks <= 0:
        return [0] * TRIALS
    if not any(throughput):
        return [HORIZON_DAYS + 1] * TRIALS
    return [_trial(throughput, tasks, chance) for _ in range(TRIALS)]


def _trial(throughput: Sequence[int], tasks: int, chance: Random) -> int:
    done = 0
    for first in range(0, HORIZON_DAYS, _CHUNK_DAYS):
        totals = list(accumulate(chance.choices(throughput, k=_CHUNK_DAYS), initial=done))
        if totals[-1] >= tasks:
            return first + bisect_left(totals, tasks)
        done = totals[-1]
    return HORIZON_DAYS + 1


def _day(today: date, days: float | None) -> date | None:
    if days is None or days > HORIZON_DAYS or (date.max - today).days <= days:
        return None
    return today + timedelta(days=ceil(days))
