"""The bound on exports that are sent at the same time."""

from __future__ import annotations

from collections import Counter

MOST = 8
"""Of a node."""
MOST_OF_USER = 2


class ExportSlots:
    """The exports that a node is sending."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def take(self, user: str) -> bool:
        """Take a slot for a user; return False if there is none."""
        if self._taken[user] >= MOST_OF_USER or self._taken.total() >= MOST:
            return False
        self._taken[user] += 1
        return True

    def free(self, user: str) -> None:
        """Free a slot of a user."""
        self._taken[user] -= 1
        self._taken += Counter()  # without those that are zero
