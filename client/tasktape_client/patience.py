"""The limits of retries."""

from __future__ import annotations

import random
from dataclasses import dataclass

SPREAD = (0.5, 1.0)
"""A delay is a random part of its length within these bounds, so that clients do not retry together."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The limits of retries, in seconds.

    `unanswered_s` limits the retries while the server has never responded: there may be no server. `limit_s`
    limits them after a first response: the server may be busy or restarting. Delays double.
    """

    unanswered_s: float = 3.0
    limit_s: float = 15.0
    first_delay_s: float = 0.2
    longest_delay_s: float = 3.0

    def delay_s(self, tries: int, at_least_s: float = 0.0) -> float:
        """Return the delay after a number of tries, from 1; at least as long as the server asked for."""
        longest_s = min(self.longest_delay_s, self.first_delay_s * 2.0 ** min(tries - 1, 30))
        delay_s = longest_s * random.uniform(*SPREAD)  # noqa: S311
        return max(delay_s, at_least_s + self.first_delay_s * random.random()) if at_least_s else delay_s  # noqa: S311
