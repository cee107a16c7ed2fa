"""How long, and how often, something is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

SPREAD = (0.5, 1.0)
"""A delay is drawn from this part of its length, so that many clients do not come back at once."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The bounds of trying again, in seconds.

    A server that has not answered yet may not be there at all: `unanswered_s` bounds how long it is tried.
    One that has answered is busy or restarting when it does not: `limit_s`. Delays double.
    """

    unanswered_s: float = 3.0
    limit_s: float = 15.0
    first_delay_s: float = 0.2
    longest_delay_s: float = 3.0

    def delay_s(self, tries: int, at_least_s: float = 0.0) -> float:
        """How long to wait after so many tries, from 1; not less than the server asked for."""
        longest_s = min(self.longest_delay_s, self.first_delay_s * 2.0 ** min(tries - 1, 30))
        delay_s = longest_s * random.uniform(*SPREAD)  # noqa: S311
        return max(delay_s, at_least_s + self.first_delay_s * random.random()) if at_least_s else delay_s  # noqa: S311
