"""Pauses between tries: each twice as long as the one before, up to a longest one."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

_MAX_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class Backoff:
    """The first pause and the longest one, in seconds.

    A pause is drawn from `spread`, as parts of its length, so that processes do not all try again at once.
    After a try that took more than `steady_s`, failures count from one again.
    """

    first_s: float
    longest_s: float
    spread: tuple[float, float] = (0.5, 1.0)
    steady_s: float = math.inf

    def length_s(self, failures: int) -> float:
        """Return the full length of the pause after so many failures in a row, from 1."""
        return min(self.first_s * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), self.longest_s)

    def pause_s(self, failures: int) -> float:
        """Return a pause after so many failures in a row, from 1, drawn from the spread."""
        return self.length_s(failures) * random.uniform(*self.spread)  # noqa: S311
